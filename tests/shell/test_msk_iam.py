"""The token of Amazon MSK: its form and its signature. AWS itself is not asked."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from connector.logs import clean
from connector.shell.access_token import NoAccessToken, TokenSource
from connector.shell.msk_iam import MskIam

KEY_ID, KEY, SESSION = "AKIDEXAMPLE", "canary/aws/secret+key", "canary-session-token=="
SEOUL = ",".join(f"b-{number}.bonds.abc123.c2.kafka.ap-northeast-2.amazonaws.com:9098" for number in (1, 2))


@pytest.fixture
def role(monkeypatch, tmp_path):
    """Put the credentials of a role into the environment, and keep botocore from all others."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    given = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_SESSION_TOKEN": SESSION}
    given |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none")}
    given |= {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def read(token):
    """Return the URL that a token holds, and its parameters."""
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    return urlsplit(url), dict(parse_qsl(urlsplit(url).query))


def signature_of(host, parameters):
    """Return the signature that AWS computes for the request (Signature Version 4)."""
    signed = {name: value for name, value in parameters.items() if name not in {"X-Amz-Signature", "User-Agent"}}
    query = "&".join(f"{quote(name, safe='-_.~')}={quote(signed[name], safe='-_.~')}" for name in sorted(signed))
    empty = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{query}\nhost:{host}\n\nhost\n{empty}"
    _, *scope = parameters["X-Amz-Credential"].split("/")
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{parameters['X-Amz-Date']}\n{'/'.join(scope)}\n{hashed}"
    key = f"AWS4{KEY}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


async def test_the_token_is_a_signed_request_of_the_brokers_region(role):
    """It is a request to connect, signed for 15 minutes with the role's credentials."""
    token = await MskIam(SEOUL).ask(1000)
    url, parameters = read(token.text)
    assert (url.scheme, url.netloc, url.path) == ("https", "kafka.ap-northeast-2.amazonaws.com", "/")
    assert parameters["Action"] == "kafka-cluster:Connect"
    assert parameters["X-Amz-Expires"] == "900"
    today = datetime.now(UTC).strftime("%Y%m%d")
    assert parameters["X-Amz-Credential"] == f"{KEY_ID}/{today}/ap-northeast-2/kafka-cluster/aws4_request"
    assert parameters["X-Amz-Security-Token"] == SESSION
    assert parameters["X-Amz-Signature"] == signature_of(url.netloc, parameters)
    assert 1000 + 895 < token.ends <= 1000 + 900
    assert 1000 + 715 < token.refresh_at <= 1000 + 720


@pytest.mark.parametrize(
    ("brokers", "region"),
    [
        ("boot-abc.c1.kafka-serverless.eu-west-1.amazonaws.com:9098", "eu-west-1"),
        ("b-1.bonds.abc.c2.kafka.cn-north-1.amazonaws.com.cn:9098", "cn-north-1"),
        ("kafka.bonds.example:9098", "us-east-2"),
    ],
)
async def test_the_region_is_in_the_brokers_names_or_the_environment(role, brokers, region):
    """A name of our own holds no region; then it is the environment's."""
    role.setenv("AWS_REGION", "us-east-2")
    _, parameters = read((await MskIam(brokers).ask(0)).text)
    assert parameters["X-Amz-Credential"].split("/")[2] == region


async def test_without_a_region(role):
    """The failure says where the region is looked for."""
    with pytest.raises(NoAccessToken, match=r"^MSK_REGION: .*kafka\.bootstrap_servers .*AWS_REGION"):
        await MskIam("kafka.bonds.example:9098").ask(0)


async def test_without_credentials(role):
    """The signer's own words are shown."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        role.delenv(name)
    with pytest.raises(NoAccessToken, match=r"^MSK_CREDENTIALS: no token could be signed: \w+: "):
        await MskIam(SEOUL).ask(0)


async def test_the_logs_hide_the_token(role):
    """A token holds the role's session, and no line shows it."""
    text = await TokenSource(MskIam(SEOUL).ask, "kafka").token()
    assert text not in clean(f"sent {text}")
