"""Settings that contradict one another, and those that are unwise."""

from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from connector.settings import load, rules
from tests.security.certificates import Authority


@pytest.fixture
def secret_file(tmp_path):
    """Give the path of a file that can be read."""
    path = tmp_path / "password"
    path.write_text("canary")
    return str(path)


def variables(secret_file, **given):
    """Return environment variables; FILE becomes the path of the file, KEY that of a key."""
    key = f"{secret_file}.key"
    if "KEY" in given.values():
        Authority(Path(key).parent).issue("client").rename(key)
    return {f"KIS_BOND_{name}": {"FILE": secret_file, "KEY": key}.get(value, value) for name, value in given.items()}


def problems(environ):
    """Return the problems for which the settings are refused, none if they are valid."""
    try:
        load(None, environ)
    except ConfigurationError as error:
        return list(error.problems)
    return []


OAUTH = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA__OAUTH_TOKEN_URL": "https://h/token",
    "KAFKA__OAUTH_CLIENT_ID": "c",
    "KAFKA__OAUTH_CLIENT_SECRET_FILE": "FILE",
}
OF_REGISTRY = {
    "REGISTRY__URL": "https://a,https://b/path",
    "REGISTRY__OAUTH_TOKEN_URL": "https://h/token",
    "REGISTRY__OAUTH_CLIENT_ID": "c",
    "REGISTRY__OAUTH_CLIENT_SECRET_FILE": "FILE",
}
OF_MSK = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA__OAUTH_PROVIDER": "msk_iam",
}
GSSAPI = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "GSSAPI",
    "KAFKA__GSSAPI_PRINCIPAL": "me@R",
    "KAFKA__GSSAPI_KEYTAB_FILE": "FILE",
}
SASL = {"KAFKA__SASL_USERNAME": "u", "KAFKA__SASL_PASSWORD_FILE": "FILE"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"KIS__IN_USE_WAIT_SECONDS": "700"}, ["kis.in_use_wait_seconds"]),
        ({"KIS__APPROVAL_URL": "http://h/oauth2/Approval"}, ["kis.approval_url"]),
        ({"KIS__APPROVAL_URL": "HTTP://10.0.0.1"}, ["kis.approval_url"]),
        ({"KIS__APPROVAL_URL": "http://127.0.0.1.example"}, ["kis.approval_url"]),
        ({"KIS__APPROVAL_URL": "http://h", "KIS__ALLOW_CLEARTEXT": "false"}, ["kis.approval_url"]),
        ({"KIS__APPROVAL_URL": "http://h", "KIS__ALLOW_CLEARTEXT": "true"}, []),
        *(({"KIS__APPROVAL_URL": f"http://{host}:1/x"}, []) for host in ("localhost", "127.0.0.9", "[::1]")),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            ["kafka.sasl_mechanism", "kafka.sasl_username", "kafka.sasl_password_file"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__SASL_MECHANISM": "PLAIN", **SASL},
            ["kafka.security_protocol"],
        ),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "PLAIN", **SASL}, []),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512", **SASL}, []),
        ({"KAFKA__SASL_USERNAME": "u"}, ["kafka.sasl_username"]),
        (OAUTH, []),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "OAUTHBEARER"},
            ["kafka.oauth_token_url", "kafka.oauth_client_id", "kafka.oauth_client_secret_file"],
        ),
        (OAUTH | {"KAFKA__OAUTH_CLIENT_SECRET_FILE": ""}, ["kafka.oauth_client_secret_file"]),
        (OAUTH | {"KAFKA__OAUTH_CLIENT_SECRET_FILE": "", "KAFKA__OAUTH_CLIENT_KEY_FILE": "KEY"}, []),
        (OAUTH | {"KAFKA__OAUTH_CLIENT_KEY_FILE": "KEY"}, ["kafka.oauth_client_key_file"]),
        (
            OAUTH | {"KAFKA__OAUTH_CLIENT_SECRET_FILE": "", "KAFKA__OAUTH_CLIENT_KEY_FILE": "FILE"},
            ["kafka.oauth_client_key_file"],
        ),
        (OAUTH | {"KAFKA__OAUTH_CLIENT_KEY_ID": "k"}, ["kafka.oauth_client_key_id"]),
        (OAUTH | {"KAFKA__OAUTH_ASSERTION_AUDIENCE": "a"}, ["kafka.oauth_assertion_audience"]),
        (OAUTH | {"KAFKA__OAUTH_EXTRA": "client_assertion=x"}, ["kafka.oauth_extra"]),
        (OAUTH | {"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, ["kafka.security_protocol"]),
        (OAUTH | {"KAFKA__OAUTH_TOKEN_URL": "http://h/token"}, ["kafka.oauth_token_url"]),
        (OAUTH | {"KAFKA__OAUTH_TOKEN_URL": "http://localhost/token"}, []),
        (OAUTH | {"KAFKA__OAUTH_EXTRA": "scope=x"}, ["kafka.oauth_extra"]),
        (OAUTH | SASL, ["kafka.sasl_username", "kafka.sasl_password_file"]),
        ({"KAFKA__OAUTH_SCOPE": "s"}, ["kafka.oauth_scope"]),
        (OF_MSK, []),
        (OF_MSK | {"KAFKA__SASL_MECHANISM": "SCRAM-SHA-512"} | SASL, ["kafka.oauth_provider"]),
        (OF_MSK | {"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, ["kafka.security_protocol"]),
        (
            OF_MSK | OAUTH,
            ["kafka.oauth_token_url", "kafka.oauth_client_id", "kafka.oauth_client_secret_file"],
        ),
        ({"KAFKA__OAUTH_PROVIDER": "msk_iam"}, ["kafka.oauth_provider"]),
        (
            OF_MSK | {"KAFKA__OAUTH_CLIENT_KEY_FILE": "KEY"},
            ["kafka.oauth_client_key_file"],
        ),
        (GSSAPI, []),
        (GSSAPI | {"KAFKA__GSSAPI_KEYTAB_FILE": ""}, ["kafka.gssapi_keytab_file"]),
        (GSSAPI | {"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, []),
        (GSSAPI | SASL, ["kafka.sasl_username", "kafka.sasl_password_file"]),
        (GSSAPI | {"KAFKA__SASL_MECHANISM": "PLAIN"} | SASL, ["kafka.gssapi_principal", "kafka.gssapi_keytab_file"]),
        ({"KAFKA__GSSAPI_PRINCIPAL": "me@R"}, ["kafka.gssapi_principal"]),
        (OF_REGISTRY, []),
        (OF_REGISTRY | {"REGISTRY__OAUTH_CLIENT_ID": ""}, ["registry.oauth_client_id"]),
        (OF_REGISTRY | {"REGISTRY__OAUTH_CLIENT_SECRET_FILE": ""}, ["registry.oauth_client_secret_file"]),
        (OF_REGISTRY | {"REGISTRY__OAUTH_CLIENT_SECRET_FILE": "", "REGISTRY__OAUTH_CLIENT_KEY_FILE": "KEY"}, []),
        (OF_REGISTRY | {"REGISTRY__OAUTH_CLIENT_KEY_FILE": "KEY"}, ["registry.oauth_client_key_file"]),
        ({"REGISTRY__URL": "https://a", "REGISTRY__OAUTH_CLIENT_KEY_FILE": "KEY"}, ["registry.oauth_client_key_file"]),
        (OF_REGISTRY | {"REGISTRY__TOKEN_FILE": "FILE"}, ["registry.oauth_token_url"]),
        ({"REGISTRY__URL": "https://a", "REGISTRY__CERTIFICATE_FILE": "FILE"}, ["registry.key_file"]),
        ({"REGISTRY__URL": "https://a", "REGISTRY__KEY_FILE": "FILE"}, ["registry.certificate_file"]),
        ({"REGISTRY__URL": "https://a,ftp://b"}, ["registry.url"]),
        (
            {"KIS__PROXY_USERNAME": "u", "KIS__PROXY_PASSWORD_FILE": "FILE"},
            ["kis.proxy_username", "kis.proxy_password_file"],
        ),
        ({"KIS__PROXY_URL": "http://p:3128", "KIS__PROXY_USERNAME": "u"}, ["kis.proxy_password_file"]),
        ({"KIS__PROXY_URL": "http://p:3128", "KIS__PROXY_PASSWORD_FILE": "FILE"}, ["kis.proxy_username"]),
        ({"KIS__PROXY_URL": "https://p:3128"}, ["kis.proxy_url"]),
        ({"KAFKA__SSL_CA_FILE": "FILE"}, ["kafka.ssl_ca_file"]),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_CA_FILE": "FILE"}, []),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_CERTIFICATE_FILE": "FILE"}, ["kafka.ssl_key_file"]),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_KEY_FILE": "FILE"}, ["kafka.ssl_certificate_file"]),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_KEY_PASSWORD_FILE": "FILE"}, ["kafka.ssl_key_file"]),
        ({"REGISTRY__URL": "http://h", "REGISTRY__USERNAME": "u"}, ["registry.password_file"]),
        ({"REGISTRY__URL": "http://h", "REGISTRY__PASSWORD_FILE": "FILE"}, ["registry.username"]),
        (
            {"REGISTRY__URL": "https://h", "REGISTRY__USERNAME": "a:b", "REGISTRY__PASSWORD_FILE": "FILE"},
            ["registry.username"],
        ),
        (
            {"KIS__PROXY_URL": "http://p", "KIS__PROXY_USERNAME": "a:b", "KIS__PROXY_PASSWORD_FILE": "FILE"},
            ["kis.proxy_username"],
        ),
        ({"TOPICS__STATUS": "bond.subscriptions"}, ["topics.status"]),
        ({"AUDIT__REST_URL": "http://h"}, ["audit.rest_url"]),
        ({"AUDIT__REST_URL": "http://h", "KIS__ALLOW_CLEARTEXT": "true"}, []),
        ({"AUDIT__GROUP_ID": "kis-bond"}, ["audit.group_id"]),
    ],
)
def test_contradictions(secret_file, given, expected):
    """Each contradiction names the setting to correct; valid combinations have none."""
    assert [
        problem.partition(":")[0].partition(" ")[0] for problem in problems(variables(secret_file, **given))
    ] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["kis.websocket_url"]),
        ({"KIS__WEBSOCKET_URL": "wss://h"}, []),
        ({"KIS__WEBSOCKET_URL": "wss://h", "AUDIT__BACKFILL": "true"}, ["audit.backfill"]),
        ({"KIS__WEBSOCKET_URL": "wss://h", "KIS__PROBE_SECONDS": "59"}, ["kis.probe_seconds"]),
        ({"KIS__WEBSOCKET_URL": "wss://h", "KIS__PROBE_SECONDS": "60"}, []),
        ({"KIS__WEBSOCKET_URL": "wss://h", "KIS__PROBE_SECONDS": "0"}, []),
        ({"KIS__WEBSOCKET_URL": "wss://h", "AUDIT__BACKFILL": "true", "AUDIT__CREDENTIALS_DIR": "x"}, []),
        (
            {"KIS__WEBSOCKET_URL": "wss://h", "AUDIT__REST_URL": "http://h", "KIS__ALLOW_CLEARTEXT": "true"},
            ["audit.rest_url"],
        ),
        ({"KIS__WEBSOCKET_URL": "ws://127.0.0.1:1"}, []),
        (
            {"KIS__WEBSOCKET_URL": "wss://h", "KIS__APPROVAL_URL": "http://h", "KIS__ALLOW_CLEARTEXT": "true"},
            ["kis.approval_url"],
        ),
        ({"KIS__WEBSOCKET_URL": "WS://h"}, ["kis.websocket_url"]),
        ({"KIS__WEBSOCKET_URL": "wss://h", "KAFKA__BOOTSTRAP_SERVERS": "localhost:1,h:1"}, ["kafka.security_protocol"]),
        ({"KIS__WEBSOCKET_URL": "wss://h", "KAFKA__BOOTSTRAP_SERVERS": "[::1]:1,127.0.0.2:1"}, []),
        (
            {
                "KIS__WEBSOCKET_URL": "wss://h",
                "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KAFKA__SASL_MECHANISM": "SCRAM-SHA-256",
                **SASL,
            },
            ["kafka.security_protocol"],
        ),
        ({"KIS__WEBSOCKET_URL": "wss://h", **GSSAPI}, []),
        (
            {"KIS__WEBSOCKET_URL": "wss://h", **GSSAPI, "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            ["kafka.security_protocol"],
        ),
        (
            {
                "KIS__WEBSOCKET_URL": "wss://h",
                "REGISTRY__URL": "http://h",
                "REGISTRY__USERNAME": "u",
                "REGISTRY__PASSWORD_FILE": "FILE",
            },
            ["registry.url"],
        ),
        (
            {"KIS__WEBSOCKET_URL": "wss://h", "REGISTRY__URL": "https://a,http://b", "REGISTRY__TOKEN_FILE": "FILE"},
            ["registry.url"],
        ),
        ({"KIS__WEBSOCKET_URL": "wss://h", "REGISTRY__AUTO_REGISTER": "true"}, ["registry.auto_register"]),
    ],
)
def test_warnings(secret_file, given, expected):
    """Clear text to another host and settings without effect are warnings."""
    assert [warning.partition(":")[0] for warning in load(None, variables(secret_file, **given)).warnings()] == expected


def test_msk_needs_its_extra(monkeypatch):
    """Without AWS' signer the settings are refused, and the extra is named."""
    monkeypatch.setattr(rules, "find_spec", lambda _: None)
    (problem,) = problems(variables("", **OF_MSK))
    assert problem.startswith("kafka.oauth_provider ")
    assert "kis-bond-connector[msk]" in problem
