"""Why a broker could not be reached, without a broker."""

import asyncio
import contextlib
import ssl
from types import SimpleNamespace

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from connector.logs import hide
from connector.shell.access_token import NoAccessToken
from connector.shell.kafka import aiokafka_fixes, diagnosis
from connector.shell.kafka.diagnosis import Unreachable, describe, with_remedy
from connector.shell.kafka.kerberos_login import NoTicket
from simulator.embedded_kafka import EmbeddedKafka


@contextlib.asynccontextmanager
async def answering(answer):
    """Give the address of a server that sends `answer` to whoever connects, then waits."""
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        if serving:
            await asyncio.wait(serving, timeout=30)


async def reason(servers, **arguments):
    """Return why none of the bootstrap servers can be reached."""
    client = AIOKafkaClient(bootstrap_servers=servers, request_timeout_ms=300, **arguments)
    try:
        with pytest.raises(Unreachable) as error:
            await client.bootstrap()
        return str(error.value)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        ("nowhere.invalid:9092", "the host nowhere.invalid is unknown: its name does not resolve"),
        ("broker..kafka:9092", "the host broker..kafka is unknown: its name does not resolve"),
        ("127.0.0.1:1", "127.0.0.1:1 refused the connection: nothing listens there"),
        ("localhost:1", "localhost:1 refused the connection: nothing listens there"),
        ("[::1]:1", "[::1]:1 refused the connection: nothing listens there"),
        (
            "nowhere.invalid:1,127.0.0.1:1",
            (
                "127.0.0.1:1 refused the connection: nothing listens there;"
                " the host nowhere.invalid is unknown: its name does not resolve"
            ),
        ),
    ],
)
async def test_each_server_has_its_sentence(servers, sentence):
    """An unknown host and a closed port are named, each server for itself."""
    assert "; ".join(sorted((await reason(servers)).split("; "))) == sentence


async def test_a_server_that_never_answers_is_named():
    """A server that accepts connections and says nothing did not answer in time."""
    async with answering(b"") as address:
        assert await reason(address) == f"{address} did not answer in 0.3 s"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x04abcd", b"\xff" * 50])
async def test_a_server_that_is_no_broker_is_named(answer):
    """Whatever another program answers, the sentence names its address."""
    async with answering(answer) as address:
        assert (await reason(address)).startswith(f"{address} ")


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
async def test_a_web_server_at_the_port_of_tls_is_named(protocol):
    """A client with TLS says that what answers is neither TLS nor a broker, in words."""
    login = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "u", "sasl_plain_password": "p"}
    arguments = {"security_protocol": protocol, "ssl_context": ssl.create_default_context()}
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        found = await reason(address, **arguments, **(login if "SASL" in protocol else {}))
        assert found == f"{address} speaks neither TLS nor Kafka's protocol: correct kafka.bootstrap_servers"


async def test_the_reason_of_another_attempt_is_forgotten():
    """Once an address was reached, a later error does not repeat why it could not be reached."""
    with EmbeddedKafka({"t": 1}) as kafka:
        host, port = kafka.bootstrap_servers.split(":")
        aiokafka_fixes._unreachable[host, int(port)] = "long ago"
        client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap_servers)
        await client.bootstrap()
        await client.close()
    assert (host, int(port)) not in aiokafka_fixes._unreachable


def test_an_announced_address_that_is_dead_is_named():
    """A broker's advertised address is named, unless it is the one that the settings name."""
    brokers = [SimpleNamespace(nodeId=number, host="kafka", port=number) for number in (1, 2, 3)]
    reasons = {("kafka", 1): "kafka:1 is away", ("kafka", 2): "kafka:2 is away"}
    assert diagnosis.explain_announced(brokers, {("kafka", 1)}, reasons) == (
        "kafka:1 is away; Kafka announces broker 2 at kafka:2 (its advertised.listeners), but kafka:2 is away"
    )
    assert diagnosis.explain_announced(brokers, (), {}) == ""


def test_a_brokers_text_has_no_secret():
    """A secret that a broker repeats is hidden in what is shown of any error."""
    hide("canary-password")
    assert "canary-password" not in describe(RuntimeError("refused canary-password"))


async def test_a_brokers_answer_to_a_login_has_no_secret():
    """A broker that repeats the password, or sends control characters, shows neither."""
    hide("canary-password")
    arguments = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "bond", "security_protocol": "SASL_SSL"}
    error = SaslAuthenticationFailed("canary-password is wrong\x1b[2J" + "x" * 1_000)
    sentence = await diagnosis.explain("kafka", 9092, error, arguments)
    assert sentence.startswith("kafka:9092 refused the user bond or its password (PLAIN): ******** is wrong")
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (Unreachable("one sentence"), "one sentence"),
        (TimeoutError(), "TimeoutError"),
        (KafkaError("broken"), "KafkaError: broken"),
        (KafkaError(), "KafkaError"),
        (ValueError("wrong"), "ValueError: wrong"),
    ],
)
def test_an_error_is_shown_with_its_name_once(error, shown):
    """What is shown of an error begins with its name, unless it is a sentence of ours."""
    assert describe(error) == shown


@pytest.fixture
def looks(monkeypatch):
    """Return the looks, of which each finds another reason."""
    found = []

    async def look(*_):
        found.append(f"reason {len(found)}")
        return found[-1]

    monkeypatch.setattr(diagnosis, "_look", look)
    monkeypatch.setattr(diagnosis, "_looked", {})
    return found


async def broke(port, error):
    """Return why a connection broke."""
    return await diagnosis._explain_break("host.test", port, error, {"security_protocol": "PLAINTEXT"})


async def test_a_broken_connection_is_looked_at_once_in_a_while(looks, monkeypatch):
    """A peer that closes at once is looked at once, however often clients fail there."""
    assert [await broke(port, ConnectionResetError()) for port in (1, 1, 1, 2)] == ["reason 0"] * 3 + ["reason 1"]
    monkeypatch.setattr(diagnosis, "LOOK_AGAIN_SECONDS", 0)
    assert await broke(1, ConnectionResetError()) == "reason 2"


async def test_another_error_is_looked_at_again(looks):
    """If the error, or what caused it, is another one, its cause is looked for again."""
    closed, closed_by_tls = KafkaError("closed"), KafkaError("closed")
    closed_by_tls.__cause__ = ssl.SSLError("wrong version")
    errors = [closed, KafkaError("closed"), ConnectionResetError(), closed_by_tls, closed]
    assert [await broke(1, error) for error in errors] == [f"reason {number}" for number in (0, 0, 1, 2, 0)]


async def test_a_look_is_forgotten_once_the_address_was_reached(looks):
    """A connection that breaks after one was made is looked at again; other addresses are not."""
    with EmbeddedKafka({"t": 1}) as kafka:
        port = int(kafka.bootstrap_servers.split(":")[1])
        arguments = {"security_protocol": "PLAINTEXT"}
        for at in (port, 1):
            await diagnosis._explain_break("127.0.0.1", at, ConnectionResetError(), arguments)
        client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap_servers)
        await client.bootstrap()
        await client.close()
    found = [await diagnosis._explain_break("127.0.0.1", at, ConnectionResetError(), arguments) for at in (port, 1)]
    assert found == ["reason 2", "reason 1"]


def test_a_missing_right_comes_with_its_remedy():
    """What Kafka forbids names the right to grant; other errors are described."""
    granted = "Kafka does not permit it: grant this user Read on the topic"
    assert with_remedy(TopicAuthorizationFailedError("bond.ticks"), "Read") == granted
    assert with_remedy(UnknownTopicOrPartitionError(), "Read").startswith("the topic does not exist")
    assert with_remedy(OSError("x"), "Read") == describe(OSError("x"))


@pytest.mark.parametrize("kind", [NoAccessToken, NoTicket])
async def test_a_login_that_could_not_begin_is_told_to_its_end(kind):
    """The remedy stands at the end of the sentence, and a secret in it is hidden."""
    hide("canary-of-the-login")
    error = kind(f"OAUTH_REFUSED: {'no ' * 100}canary-of-the-login: check kafka.oauth_client_id")
    sentence = await diagnosis.explain("kafka", 9092, error, {"sasl_mechanism": "OAUTHBEARER"})
    assert sentence.startswith("no login at kafka:9092: OAUTH_REFUSED: ")
    assert sentence.endswith(" ********: check kafka.oauth_client_id")
