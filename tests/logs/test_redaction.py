"""Secrets are hidden by value and by shape."""

import json

import pytest

from connector.logs.redaction import HIDDEN, Redactor

APPKEY = "PS" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3k"
APPSECRET = ("abcDEF0123456789+/" * 10)[:178] + "=="
APPROVAL = "0123abcd-4567-89ef-0123-456789abcdef"
AES_KEY, AES_IV = "abcdefghijklmnopqrstuvwxyz012345", "0123456789abcdef"
REPLY = json.dumps({"body": {"output": {"iv": AES_IV, "key": AES_KEY}}})


@pytest.mark.parametrize("secret", ["canary", "pass word/with+odd=chars", 'quo"te\\canary', "암호암호암호"])
def test_by_value(secret):
    """A known value is hidden anywhere, also in the form JSON gives it."""
    redactor = Redactor()
    redactor.hide(secret)
    for text in (f"x {secret} y", json.dumps({"x": secret}), json.dumps({"x": secret}, ensure_ascii=False)):
        cleaned = redactor.clean(text)
        assert HIDDEN in cleaned
        assert secret not in cleaned
        assert json.dumps(secret)[1:-1] not in cleaned


def test_short_values_stay():
    """A value short enough to be an ordinary word is not hidden by value."""
    redactor = Redactor()
    redactor.hide("", "ab")
    assert redactor.clean("cab in lab") == "cab in lab"


def test_the_oldest_value_is_dropped():
    """Only the latest few hundred values are hidden."""
    redactor = Redactor()
    redactor.hide(*(f"secret-{number:04d}!" for number in range(600)))
    assert redactor.clean("secret-0599!") == HIDDEN
    assert redactor.clean("secret-0000!") == "secret-0000!"


def test_issued_values_displace_no_configured_value():
    """Keys of registrations displace only older keys; a configured password stays hidden."""
    redactor = Redactor()
    redactor.hide("canary-password")
    for number in range(600):
        redactor.hide_issued(f"issued-{number:04d}!")
    assert redactor.clean("canary-password issued-0599!") == f"{HIDDEN} {HIDDEN}"
    assert redactor.clean("issued-0000!") == "issued-0000!"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (f"the key {APPKEY} came", [APPKEY]),
        (f"{APPSECRET}", [APPSECRET]),
        (f"approval {APPROVAL}", [APPROVAL]),
        ('{"appkey":"canary","secretkey":"canary2"}', ["canary"]),
        ("{'approval_key': 'canary', 'custtype': 'P'}", ["canary"]),
        ('{\\"appsecret\\": \\"canary\\"}', ["canary"]),
        ('{\\\\\\"appsecret\\\\\\": \\\\\\"canary\\\\\\"}', ["canary"]),
        ("sasl_plain_password=canary, next", ["canary"]),
        ("AppKey(appsecret='can ary')", ["can ary"]),
        ("SaslAuthenticateRequest(sasl_auth_bytes=b'\\x00user\\x00canary')", ["canary"]),
        ("Authorization: Bearer canary.token", ["canary"]),
        ("sent Basic dXNlcjpjYW5hcnk=", ["dXNlcjpjYW5hcnk="]),
        (REPLY, [AES_KEY, AES_IV]),
        (json.dumps({"event": REPLY}), [AES_KEY, AES_IV]),
        (repr({"key": AES_KEY, "iv": AES_IV}), [AES_KEY, AES_IV]),
    ],
)
def test_by_shape(text, secrets):
    """A value that looks like a secret is hidden although nobody named it."""
    cleaned = Redactor().clean(text)
    assert HIDDEN in cleaned
    assert not [secret for secret in secrets if secret in cleaned]


@pytest.mark.parametrize(
    "text",
    [
        '{"event": "session_closed", "slot": 0, "key": "instrument/KR103502GA34"}',
        '{"appkey": null, "kafka.sasl_password_file": "/run/secrets/kafka"}',
        '{"tick_id": "0123456789abcdef0123456789abcdef"}',
        "Registration of KR103502GD31 was refused: OPSP0008 MAX SUBSCRIBE OVER",
    ],
)
def test_ordinary_lines_stay(text):
    """Ordinary log lines pass unchanged."""
    assert Redactor().clean(text) == text


@pytest.mark.parametrize(
    "value",
    [
        {"appkey": "canary"},
        {"a": {"key": AES_KEY}},
        {"message": '{"approval_key": "canary"}', "n": 1},
        {"password": 'a"b\\'},
    ],
)
def test_json_stays_json(value):
    """A JSON line is still valid JSON after redaction."""
    assert HIDDEN in json.dumps(json.loads(Redactor().clean(json.dumps(value))))
