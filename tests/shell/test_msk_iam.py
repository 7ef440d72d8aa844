"""The token of Amazon MSK: its form and its signature. AWS itself is not asked."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from aiohttp import web

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


class Credentials:
    """AWS' service that gives a pod its credentials; it answers once `opened` is set."""

    def __init__(self, status=200):
        self.status = status
        self.asked = 0
        self.began, self.opened = asyncio.Event(), asyncio.Event()

    async def answer(self, _):
        self.asked += 1
        self.began.set()
        await self.opened.wait()
        given = f"<AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{KEY}</SecretAccessKey>"
        given += f"<SessionToken>{SESSION}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        call = "AssumeRoleWithWebIdentity"
        text = f"<{call}Response><{call}Result><Credentials>{given}</Credentials></{call}Result></{call}Response>"
        return web.Response(status=self.status, text=text, content_type="text/xml")


@contextlib.asynccontextmanager
async def serving(credentials):
    """Give the service's address; at the end it answers whoever still waits."""
    app = web.Application()
    app.router.add_post("/", credentials.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        credentials.opened.set()
        await runner.cleanup()


@pytest.fixture
def pod(role, tmp_path):
    """Return a function that has botocore ask this service, as in a Kubernetes pod."""
    (tmp_path / "identity").write_text("canary-identity")

    def ask_at(url):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            role.delenv(name)
        role.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/bond")
        role.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "identity"))
        role.setenv("AWS_DEFAULT_REGION", "ap-northeast-2")
        role.setenv("AWS_ENDPOINT_URL_STS", url)

    return ask_at


async def give_up(iam, monkeypatch):
    """Ask for a token that does not come in time."""
    with monkeypatch.context() as patch:
        patch.setattr("connector.shell.msk_iam.TIMEOUT_SECONDS", 0.05)
        with pytest.raises(NoAccessToken, match=r"^MSK_TIMEOUT: AWS credentials did not come in 0\.05 s$"):
            await iam.ask(0)


async def test_one_signing_runs_at_a_time(pod, monkeypatch):
    """After a timeout the next call waits for the same signing, and the loop's threads are free."""
    iam, credentials = MskIam(SEOUL), Credentials()
    async with asyncio.timeout(60), serving(credentials) as url:
        pod(url)
        for _ in range(3):
            await give_up(iam, monkeypatch)
        await credentials.began.wait()
        token = asyncio.create_task(iam.ask(0))
        credentials.opened.set()
        assert read((await token).text)[1]["X-Amz-Security-Token"] == SESSION
    assert credentials.asked == 1
    assert asyncio.get_running_loop()._default_executor is None


async def test_a_signing_outlives_the_loop_that_began_it(pod, monkeypatch):
    """Librdkafka's clients ask in a new loop each time."""
    iam, credentials = MskIam(SEOUL), Credentials()
    async with asyncio.timeout(60), serving(credentials) as url:
        pod(url)
        for _ in range(2):
            await asyncio.to_thread(asyncio.run, give_up(iam, monkeypatch))
        credentials.opened.set()
        await iam.ask(0)
    assert credentials.asked == 1


async def test_a_token_that_came_late_is_used_once(pod, monkeypatch):
    """Credentials that always come a little late are enough for a login."""
    iam, credentials = MskIam(SEOUL), Credentials()
    async with asyncio.timeout(60), serving(credentials) as url:
        pod(url)
        await give_up(iam, monkeypatch)
        credentials.opened.set()
        await asyncio.wrap_future(iam._signing)
        await iam.ask(0)
        assert credentials.asked == 1
        await iam.ask(0)
        assert credentials.asked == 2


async def test_a_failure_that_came_late_is_forgotten(pod, monkeypatch):
    """The next call signs anew, because the failure may be long past."""
    iam, credentials = MskIam(SEOUL), Credentials(status=400)
    async with asyncio.timeout(60), serving(credentials) as url:
        pod(url)
        await give_up(iam, monkeypatch)
        credentials.opened.set()
        await asyncio.wrap_future(iam._signing)
        credentials.status = 200
        await iam.ask(0)
    assert credentials.asked == 2


ASK_AND_END = f"""
import asyncio
from connector.shell import access_token, msk_iam
msk_iam.TIMEOUT_SECONDS = 1
try:
    asyncio.run(msk_iam.MskIam("{SEOUL}").ask(0))
except access_token.NoAccessToken as failure:
    print(failure)
"""


def test_a_process_ends_while_a_signing_hangs(pod):
    """A service that takes the connection and says nothing, as botocore allows, delays no stop."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pod(f"http://127.0.0.1:{silent.getsockname()[1]}")
        command = [sys.executable, "-c", ASK_AND_END]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True, timeout=40)
    assert done.stdout == "MSK_TIMEOUT: AWS credentials did not come in 1 s\n"


async def test_the_logs_hide_the_token(role):
    """A token holds the role's session, and no line shows it."""
    text = await TokenSource(MskIam(SEOUL).ask, "kafka").token()
    assert text not in clean(f"sent {text}")
