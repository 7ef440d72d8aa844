"""Each unusable TLS or password file is named with its setting, before any connection."""

import ssl
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connector.errors import ConfigurationError
from connector.logs import clean
from connector.settings import KafkaSettings
from connector.shell.kafka.credential_files import file_problems, load_context, read_password
from tests.security.certificates import Authority


@pytest.fixture
def files(tmp_path):
    """Return the paths of good and bad files by name."""
    authority = Authority(tmp_path)
    made = {
        "ca": authority.ca,
        "client": authority.issue("client"),
        "stranger": authority.issue("stranger"),
        "locked": authority.issue("locked", password=b"canary passphrase"),
    }
    for name, text in {
        "right": "canary passphrase\n",
        "wrong": "canary of another\n",
        "newline": "\n",
        "empty": "",
        "garbage": "no PEM at all",
        "lines": "canary\ncanary\n",
        "nul": "can\0ary",
        "broken": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }.items():
        (made.setdefault(name, tmp_path / name)).write_text(text)
    (tmp_path / "latin").write_bytes(b"p\xe4ssword")
    (tmp_path / "utf16").write_bytes("password".encode("utf-16"))
    made |= {name: tmp_path / name for name in ("latin", "utf16")}
    return made | {"folder": tmp_path, "missing": tmp_path / "missing"}


def kafka(files, **names):
    """Return settings with these files; `ca`, `certificate`, `key` and `password` are of TLS."""
    paths = {setting: files[name] for setting, name in names.items()}
    settings = {"ca": "ssl_ca_file", "certificate": "ssl_certificate_file", "key": "ssl_key_file"}
    settings |= {"password": "ssl_key_password_file", "login": "sasl_password_file"}
    return KafkaSettings.model_construct(
        **KafkaSettings().model_dump()
        | {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "bond"}
        | {settings[name]: path for name, path in paths.items()}
    )


AUTHORITY = "put the certificates of the brokers' authority into it, as PEM"
PROBLEMS = [
    ({"ca": "empty"}, "ssl_ca_file: {empty} is empty: " + AUTHORITY),
    ({"ca": "newline"}, "ssl_ca_file: {newline} is empty: " + AUTHORITY),
    ({"ca": "garbage"}, "ssl_ca_file: {garbage} holds no certificate: " + AUTHORITY),
    ({"ca": "broken"}, "ssl_ca_file: {broken} holds no certificate: " + AUTHORITY),
    ({"ca": "missing"}, "ssl_ca_file: {missing} could not be read (No such file or directory): correct the path or"),
    ({"ca": "folder"}, "ssl_ca_file: {folder} could not be read (Is a directory): correct the path or"),
    ({"certificate": "empty", "key": "client"}, "ssl_certificate_file: {empty} is empty: put the client's certificate"),
    ({"certificate": "broken", "key": "client"}, "ssl_certificate_file: {broken} holds no certificate: put the client"),
    ({"certificate": "client", "key": "empty"}, "ssl_key_file: {empty} is empty: put the client's private key into it"),
    ({"certificate": "client", "key": "ca"}, "ssl_key_file: {ca} holds no private key: put the client's private key"),
    (
        {"certificate": "client", "key": "stranger"},
        "ssl_key_file: {stranger} does not belong to the certificate in {client}: give the two files of one pair",
    ),
    (
        {"certificate": "locked", "key": "locked"},
        "ssl_key_file: {locked} is encrypted: set kafka.ssl_key_password_file",
    ),
    (
        {"certificate": "locked", "key": "locked", "password": "wrong"},
        "ssl_key_password_file: {wrong} does not hold the password of the key {locked}: write the right one into it",
    ),
    (
        {"certificate": "locked", "key": "locked", "password": "newline"},
        "ssl_key_password_file: {newline} is empty: write the password into it",
    ),
    ({"login": "empty"}, "sasl_password_file: {empty} is empty: write the password into it"),
    ({"login": "newline"}, "sasl_password_file: {newline} is empty: write the password into it"),
    ({"login": "latin"}, "sasl_password_file: {latin} is not UTF-8 text: write nothing but the password into it"),
    ({"login": "utf16"}, "sasl_password_file: {utf16} is not UTF-8 text: write nothing but the password into it"),
    ({"login": "lines"}, "sasl_password_file: {lines} holds several lines or a control character: write nothing but"),
    ({"login": "nul"}, "sasl_password_file: {nul} holds several lines or a control character: write nothing but"),
    (
        {"certificate": "locked", "key": "locked", "password": "lines"},
        "ssl_key_password_file: {lines} holds several lines or a control character: write nothing but",
    ),
    ({"login": "folder"}, "sasl_password_file: {folder} could not be read (Is a directory): correct the path or"),
]


@pytest.mark.parametrize(("names", "sentence"), PROBLEMS)
def test_an_unusable_file_is_named(files, names, sentence):
    """The sentence has the setting, the path, and what to do, and quotes no secret."""
    (problem,) = file_problems(kafka(files, **names))
    assert problem.startswith("kafka." + sentence.format(**files))
    assert "canary" not in problem


def test_all_problems_are_told_at_once(files):
    """Each file with a problem of its own has its sentence."""
    problems = file_problems(kafka(files, login="empty", ca="garbage", certificate="broken", key="empty"))
    assert [problem.split(":")[0] for problem in problems] == [
        "kafka.sasl_password_file",
        "kafka.ssl_ca_file",
        "kafka.ssl_certificate_file",
        "kafka.ssl_key_file",
    ]


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"ca": "ca", "login": "right"},
        {"certificate": "client", "key": "client"},
        {"certificate": "client", "key": "client", "password": "right"},
        {"certificate": "locked", "key": "locked", "password": "right"},
    ],
)
def test_good_files_are_loaded(files, names):
    """Good files make a context that verifies the broker; a needless password does no harm."""
    settings = kafka(files, **names)
    assert file_problems(settings) == []
    context = load_context(settings)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    if "login" in names:
        assert read_password(settings) == "canary passphrase"
        assert "canary" not in clean("tried canary passphrase")


def test_an_rsa_key_is_not_searched_for_primes(files, tmp_path):
    """That would hold up the event loop for half a second at each new client of Kafka."""
    p, q = 2**2048 - 1, 2**2047 + 1  # neither is prime
    numbers = rsa.RSAPrivateNumbers(
        p=p, q=q, d=3, dmp1=3, dmq1=3, iqmp=3, public_numbers=rsa.RSAPublicNumbers(65537, p * q)
    )
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    files["rsa"] = Authority(tmp_path).issue("rsa", key=key)
    assert file_problems(kafka(files, certificate="rsa", key="rsa")) == []
    (problem,) = file_problems(kafka(files, certificate="client", key="rsa"))
    assert "does not belong to the certificate" in problem


def test_files_without_effect_are_not_read(files):
    """Without TLS and login no file is read."""
    settings = kafka(files, login="empty", ca="empty").model_copy(update={"security_protocol": "PLAINTEXT"})
    assert file_problems(settings) == []
    assert (load_context(settings), read_password(settings)) == (None, None)


def test_a_key_that_only_openssl_refuses_is_named(files, tmp_path, monkeypatch):
    """If OpenSSL refuses a pair for another reason, the sentence has both paths and the reason."""
    monkeypatch.setattr("connector.shell.kafka.credential_files._certified", lambda _: None)
    with pytest.raises(ConfigurationError) as raised:
        load_context(kafka(files, certificate="client", key="stranger"))
    (problem,) = raised.value.problems
    assert f"{files['client']} and the key {files['stranger']} could not be used: KEY_VALUES_MISMATCH" in problem


@pytest.mark.parametrize("command", [("check",), ("run",), ("topics", "verify")])
def test_commands_end_with_2_before_any_connection(files, tmp_path, command):
    """`check` without --connect, the start, and other commands end with 2 and the sentence."""
    (tmp_path / "settings.yaml").write_text(
        "kis: {appkey: key, appsecret: secret}\n"
        f"journal: {{path: {tmp_path / 'journal'}}}\n"
        f"kafka: {{bootstrap_servers: '127.0.0.1:1', security_protocol: SSL, ssl_ca_file: {files['garbage']}}}\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "connector", *command, "--config", tmp_path / "settings.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2, result.stderr
    assert f"kafka.ssl_ca_file: {files['garbage']} holds no certificate" in " ".join(result.stderr.split())
    assert not (tmp_path / "journal").exists()
