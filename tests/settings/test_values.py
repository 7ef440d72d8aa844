"""Types of values, each by what it accepts and what it refuses."""

import os

import pytest
from pydantic import TypeAdapter, ValidationError

from connector.settings.values import (
    Brokers,
    Hosts,
    HttpUrl,
    ReadableFile,
    Size,
    Text,
    TopicName,
    WebSocketUrl,
    without_slash,
)


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
        (TopicName, "a.b_c-D9", "a.b_c-D9"),
        (TopicName, "x" * 249, "x" * 249),
        (HttpUrl, "https://h:9443/p", "https://h:9443/p"),
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


@pytest.mark.parametrize(
    ("kind", "value"), [(HttpUrl, "https://u:canary@h"), (Brokers, "u:canary@h:1"), (WebSocketUrl, "ws://[canary")]
)
def test_passwords_in_addresses_are_not_repeated(kind, value):
    """A refusal does not quote an address that may hold a password."""
    with pytest.raises(ValidationError) as refused:
        parse(kind, value)
    assert "canary" not in str(refused.value.errors(include_input=False)[0]["msg"])


def test_readable_file(tmp_path):
    """A file that can be opened is accepted, a folder is not."""
    (tmp_path / "f").write_text("")
    assert parse(ReadableFile, str(tmp_path / "f")) == tmp_path / "f"
    with pytest.raises(ValidationError, match="Is a directory"):
        parse(ReadableFile, tmp_path)


@pytest.mark.timeout(20)
def test_a_pipe_is_no_readable_file(tmp_path):
    """A pipe is refused without waiting for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValidationError, match="is not a regular file"):
        parse(ReadableFile, tmp_path / "pipe")


def test_without_slash():
    """Slashes at the end of a URL are removed, so that a path can be added."""
    assert without_slash("http://h/apis//") == "http://h/apis"
