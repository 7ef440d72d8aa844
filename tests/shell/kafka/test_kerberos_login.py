"""The messages of a Kerberos login; tests/access has it with a real realm."""

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


def test_principal_and_keytab_reach_each_connection(tmp_path):
    """They are handed on as the user's name and password."""
    (tmp_path / "keytab").write_bytes(b"\x05\x02")
    kafka = KafkaSettings(gssapi_service_name="broker", gssapi_principal="me@R", gssapi_keytab_file=tmp_path / "keytab")
    assert login_arguments(kafka) == {
        "sasl_kerberos_service_name": "broker",
        "sasl_plain_username": "me@R",
        "sasl_plain_password": str(tmp_path / "keytab"),
    }
