"""Types of values, each by what it accepts and what it refuses."""

import os
import re

import pytest
from pydantic import TypeAdapter, ValidationError

from connector.settings.values import (
    BaseUrl,
    Brokers,
    Host,
    Hosts,
    HttpUrl,
    ReadableFile,
    SecretFile,
    SigningKeyFile,
    Size,
    Text,
    TopicName,
    WebSocketUrl,
)
from tests.security.certificates import Authority


def parse(kind, value):
    """Return the value as the type parses it."""
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "parsed"),
    [
        (Size, "1GiB", 2**30),
        (Size, "512 MiB", 2**29),
        (Size, "64KiB", 2**16),
        (Size, "7B", 7),
        (Size, " 4096 ", 4096),
        (Size, 4096, 4096),
        (Brokers, "a:9092, b-1.example:9093", "a:9092,b-1.example:9093"),
        (Brokers, "[::1]:9092", "[::1]:9092"),
        (Hosts, "a.example, 10.0.0.7", ("a.example", "10.0.0.7")),
        (Hosts, ["a.example", "fd00::7", "[::1]"], ("a.example", "fd00::7", "[::1]")),
        *((Host, host, host) for host in ("localhost", "a_b.example.", "0.0.0.0", "::", "fe80::1%lo", "채권.example")),
        (Host, "[::1]", "::1"),
        (TopicName, "a.b_c-D9", "a.b_c-D9"),
        (TopicName, "x" * 249, "x" * 249),
        (HttpUrl, "https://h:9443/p", "https://h:9443/p"),
        *((HttpUrl, url, url) for url in ("http://[::1]:80/x?y=1#z", "http://채권.example", "http://a_b:1")),
        (BaseUrl, "http://h/apis//", "http://h/apis"),
        (WebSocketUrl, "wss://h", "wss://h"),
        (WebSocketUrl, "WSS://H/x", "wss://H/x"),
        (Text, " x", " x"),
    ],
)
def test_accepted(kind, value, parsed):
    """A valid value is accepted."""
    assert parse(kind, value) == parsed


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((Size, value) for value in ("1GB", "1.5GiB", "-1", "0", "GiB", "", "1 gib", 1.5)),
        *((Hosts, value) for value in ("", "a:80", "a,", "http://a", "a b", "*", [""], [1], 1, {"a": 1})),
        *((Brokers, value) for value in ("", "a", "a:", "a:0", "a:65536", "a:1,", "http://a:1", "a b:1", ":9092")),
        *((TopicName, value) for value in ("", ".", "..", "a b", "a/b", "x" * 250, "채권")),
        *(
            (HttpUrl, value)
            for value in (
                "",
                "h:1",
                "ws://h",
                "https://",
                "https://h:99999",
                "https://u@h",
                "https://u:p@h",
                "https://u:12/p@h",
                "https://h/?p@h",
                "http://[x",
            )
        ),
        *((WebSocketUrl, value) for value in ("http://h", "ws://", "ws://h:0")),
        *((Text, value) for value in ("", "  ")),
        (ReadableFile, "/nonexistent/file"),
    ],
)
def test_refused(kind, value):
    """An invalid value is refused."""
    with pytest.raises(ValidationError):
        parse(kind, value)


@pytest.mark.parametrize("host", ["a..b", "xn--a", ".", "a" * 64])
@pytest.mark.parametrize(
    ("kind", "form"), [(HttpUrl, "http://{}/x"), (WebSocketUrl, "ws://{}:21000"), (BaseUrl, "http://{}"), (Host, "{}")]
)
def test_a_host_that_no_library_can_encode_is_refused(kind, form, host):
    """The sentence names the host."""
    with pytest.raises(ValidationError, match=f"'{re.escape(host)}' is not a host name"):
        parse(kind, form.format(host))


@pytest.mark.parametrize("host", ["", "a b", "a:80", "http://a", "[a]", "$HOST"])
def test_what_is_no_host_is_refused(host):
    """A port, a scheme or a variable is no part of a host."""
    with pytest.raises(ValidationError, match="is not a host name"):
        parse(Host, host)


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/'a'", 'http://"h"', "http://$HOST/", "http://h/`a`"])
def test_a_url_with_blanks_quotes_or_variables_is_refused(url):
    """They are left over from a shell or a sentence."""
    with pytest.raises(ValidationError, match="holds a blank, a quote or"):
        parse(HttpUrl, url)


@pytest.mark.parametrize("url", ["http://h/?a=1", "http://h/x#a", "http://h?"])
def test_a_url_that_gets_a_path_has_no_query_or_fragment(url):
    """The path would become part of the query."""
    with pytest.raises(ValidationError, match="without a query or fragment"):
        parse(BaseUrl, url)


@pytest.mark.parametrize("unit", ["", "B", " GiB"])
def test_a_size_with_too_many_digits_is_refused_in_our_words(unit):
    """Python converts no text of more than 4,300 digits."""
    with pytest.raises(ValidationError, match="has more than 18 digits: give a smaller size"):
        parse(Size, "9" * 4310 + unit)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (HttpUrl, "https://u:canary@h"),
        (HttpUrl, "u:canary"),
        (HttpUrl, "https://u:12/canary@h"),
        (HttpUrl, "https:/u:canary@h"),
        (WebSocketUrl, "ws://[canary"),
        *((Brokers, value) for value in ("u:canary@h:1", "u:canary", "u:canary:9092", "h:1,u:canary")),
    ],
)
def test_passwords_in_addresses_are_not_repeated(kind, value):
    """A refusal does not quote an address that may hold a password."""
    with pytest.raises(ValidationError) as refused:
        parse(kind, value)
    assert "canary" not in str(refused.value.errors(include_input=False)[0]["msg"])


def test_a_wrong_broker_among_several_is_numbered():
    """The refusal says which broker of the list is wrong."""
    with pytest.raises(ValidationError, match="number 2 of 3 is not a broker address"):
        parse(Brokers, "h:1,x,h:2")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("pässword".encode("latin-1"), "is not UTF-8 text"),
        ("password".encode("utf-16"), "is not UTF-8 text"),
        (b"canary\ncanary\n", "holds several lines"),
        (b"can\0ary", "holds several lines or a control character"),
        (b"c" * (64 * 2**10 + 1), "more than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_password_is_refused(tmp_path, content, problem):
    """The refusal names the file and what is wrong with it, and quotes nothing."""
    (path := tmp_path / "p").write_bytes(content)
    with pytest.raises(ValidationError, match=problem) as refused:
        parse(SecretFile, path)
    message = refused.value.errors(include_input=False)[0]["msg"]
    assert str(path) in message
    assert "canary" not in message
    with pytest.raises(ValidationError, match="more than 64 KiB"):
        parse(SecretFile, "/dev/zero")


def test_a_file_without_a_key_to_sign_with_is_refused(tmp_path):
    """The refusal names the file, what it holds and what to give; a key is accepted."""
    key = Authority(tmp_path).issue("client")
    assert parse(SigningKeyFile, str(key)) == key
    (path := tmp_path / "p").write_text("canary")
    for refused_path, problem in (
        (path, "p holds no private key: give a private key without a password as PEM, either RSA with 2048 to 4096"),
        (Authority(tmp_path).issue("locked", password=b"canary"), "locked.pem holds an encrypted key: give"),
        (tmp_path / "absent", r"absent could not be read \(No such file or directory\): correct the path"),
        ("/dev/zero", "more than 4 MiB"),
    ):
        with pytest.raises(ValidationError, match=problem) as refused:
            parse(SigningKeyFile, refused_path)
        assert "canary" not in refused.value.errors(include_input=False)[0]["msg"]


def test_readable_file(tmp_path):
    """A file that can be opened is accepted, a folder is not."""
    (tmp_path / "f").write_text("")
    assert parse(ReadableFile, str(tmp_path / "f")) == tmp_path / "f"
    with pytest.raises(ValidationError, match="Is a directory"):
        parse(ReadableFile, tmp_path)


@pytest.mark.timeout(60)
def test_a_pipe_is_no_readable_file(tmp_path):
    """A pipe is refused without waiting for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValidationError, match="is not a regular file"):
        parse(ReadableFile, tmp_path / "pipe")
