"""The messages of a Kerberos login; tests/access has it with a real realm."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from connector.settings import KafkaSettings
from connector.shell.kafka.kerberos_login import NO_LAYER, KerberosLogin, NoTicket, login_arguments


class Context:
    """A context that is complete after two tokens, and wraps by a prefix."""

    complete = False

    def __init__(self):
        self.answers = []

    def step(self, answer):
        self.answers.append(answer)
        self.complete = len(self.answers) == 2
        return None if self.complete else b"token"

    def unwrap(self, message):
        return SimpleNamespace(message=message.removeprefix(b"wrapped "))

    def wrap(self, message, *, encrypt):
        assert not encrypt
        return SimpleNamespace(message=b"wrapped " + message)


def exchange(offer):
    """Return what the client sends to a broker that offers these layers."""
    context = Context()
    messages = KerberosLogin("kafka@h", SimpleNamespace(context=lambda service: context))._messages()
    sent = [messages.send(answer) for answer in (None, b"proof", b"wrapped " + offer)]
    with pytest.raises(StopIteration):
        messages.send(b"")
    assert context.answers == [None, b"proof"]
    return sent


@pytest.mark.parametrize("offer", [b"\x01\x00\x00\x00", b"\x07\x00\xff\xff"], ids=["none", "all"])
def test_no_security_layer_is_chosen(offer):
    """Of the layers that a broker offers, the client takes none, and no other identity."""
    assert exchange(offer) == [(b"token", True), (b"", True), (b"wrapped " + NO_LAYER, False)]


@pytest.mark.parametrize("offer", [b"", b"\x06\x00\xff\xff"], ids=["nothing", "layers"])
def test_a_demanded_security_layer_is_refused(offer):
    """The sentence names the service."""
    with pytest.raises(NoTicket, match="the service kafka@h demands a security layer"):
        exchange(offer)


# The library is not installed everywhere, and of it only the import is needed.
LOG_IN_AND_END = """
import asyncio, sys, threading, time, types
sys.modules["gssapi"] = types.ModuleType("gssapi")
from connector.shell.kafka.kerberos_login import KerberosLogin
began = threading.Event()
class Away:
    def context(self, service):
        began.set()
        time.sleep(600)
async def log_in():
    login = KerberosLogin("kafka@h", Away()).step(None)
    began.wait(30)
    login.cancel()
asyncio.run(log_in())
print("ended", began.is_set())
"""


def test_a_process_ends_while_a_login_hangs():
    """A KDC that does not answer delays no stop."""
    command = [sys.executable, "-c", LOG_IN_AND_END]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=40)
    assert done.stdout == "ended True\n"


async def test_the_login_messages_come_one_after_another(monkeypatch):
    """Each step gives the next message, and the last one nothing."""
    monkeypatch.setitem(sys.modules, "gssapi", SimpleNamespace(exceptions=SimpleNamespace(GSSError=ZeroDivisionError)))
    login = KerberosLogin("kafka@h", SimpleNamespace(context=lambda service: Context()))
    sent = [await login.step(answer) for answer in (None, b"proof", b"wrapped " + NO_LAYER, b"")]
    assert sent == [(b"token", True), (b"", True), (b"wrapped " + NO_LAYER, False), None]


def test_principal_and_keytab_reach_each_connection(tmp_path):
    """They are handed on as the user's name and password."""
    (tmp_path / "keytab").write_bytes(b"\x05\x02")
    kafka = KafkaSettings(gssapi_service_name="broker", gssapi_principal="me@R", gssapi_keytab_file=tmp_path / "keytab")
    assert login_arguments(kafka) == {
        "sasl_kerberos_service_name": "broker",
        "sasl_plain_username": "me@R",
        "sasl_plain_password": str(tmp_path / "keytab"),
    }
