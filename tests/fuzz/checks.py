"""What must hold of any bytes, target by target; each function raises AssertionError where it does not.

They are run by Hypothesis on what its grammar makes, by pytest on the corpus, and by atheris on what it finds: `make fuzz`.
"""

import base64
import json
from functools import cache
from pathlib import Path

import jsonschema
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from connector.core import status
from connector.core.bonds.isin import has_shape
from connector.core.cipher_key import CipherKey
from connector.core.kis import reply
from connector.core.kis.effect import Close, Echo, Refused, ReissueKey, Send, Strange
from connector.core.kis.governor import Governor
from connector.core.kis.reply import Ping, Reply, Unreadable
from connector.core.kis.session import Session
from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, TickEncoder, TickSchema, decode
from connector.core.ticks.frame import BadFrame, Received, WireRecord, split
from connector.packaged_files import bond_tick
from tests.core.kis.kis_model import PACE, WAITS, unchanged
from tests.fuzz import second_opinion

ROOT = Path(__file__).parents[2]
SCHEMA = TickSchema(bond_tick())
KEY = CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
OTHER_KEY = CipherKey("z" * 32, "f" * 16)
RECEIVED_NS = 1_795_148_264_123_000_000  # 2026-11-20 13:17:44.123 in Seoul
BOND, OTHER_BOND = "KR103502GA34", "KR103502GD31"
LONGEST_REASON = 2000
UNREADABLE = {
    f"CTRL_SHAPE: {why}"
    for why in (
        "longer than 64 KiB",
        "nested too deeply",
        "a key appears twice",
        "not JSON",
        "without usable rt_cd and msg_cd",
    )
}


def received(raw, *, binary=False):
    """Return a message as the journal holds it."""
    return Received(RECEIVED_NS, 0, 7, binary, raw)


def sealed(plain, key=KEY):
    """Return a payload as KIS seals it."""
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    sealer = Cipher(algorithms.AES(key.key.encode()), modes.CBC(key.iv.encode())).encryptor()
    return base64.b64encode(sealer.update(padded) + sealer.finalize()).decode()


@cache
def encoder():
    """Return one encoder for all inputs, as a running connector has one: what it remembers must never change an answer."""
    return TickEncoder(SCHEMA, SCHEMA.single_object_prefix)


def frame(raw, *, binary=False):
    """Check a whole message: records or one reason, the same as the second opinion's; nothing is lost on the way."""
    message = received(raw, binary=binary)
    found = split(message, SCHEMA.width, (KEY,))
    expected = second_opinion.frame(raw, binary=binary)
    if isinstance(found, BadFrame):
        assert found.detail.isascii()
        assert expected == found.reason or (expected == "DECRYPT" and found.reason in {"DECRYPT_FAILED", "FRAME_ARITY"})
        letter = dead_letter.of_frame(message, found)
        assert letter.value == raw
        assert _headers_are_ascii(letter.headers)
        return
    assert expected == "DECRYPT" or expected == [one.columns for one in found]
    for one in found:
        assert one.text == "^".join(one.columns)
        assert split(received(b"0|H0BJCNT0|1|" + one.text.encode()), SCHEMA.width, ()) == [one]
        record(one, message)


def record(wire, message):
    """Check one record: a tick that reads back as the second opinion says, or its first bad column and its text kept."""
    tick = encoder().encode(wire, encoder().origin(message.received_ns // 1_000_000))
    expected = second_opinion.record(wire.columns)
    if isinstance(tick, BadTick):
        assert (tick.reason, tick.field) == expected
        letter = dead_letter.of_record(message, wire, tick)
        assert letter.value.decode() == wire.text
        assert _headers_are_ascii(letter.headers)
        assert letter.key == (wire.columns[0].encode() if second_opinion.is_isin(wire.columns[0]) else None)
        return
    value = decode(tick.value, SCHEMA)
    assert {name: value[name] for name in second_opinion.KINDS} == expected
    assert value["extra"] == wire.columns[SCHEMA.width :]
    assert tick.timestamp_ms <= message.received_ns // 1_000_000


def sealed_frame(plain):
    """Check that an encrypted frame says what the same payload in clear says."""
    expected = split(received(b"0|H0BJCNT0|1|" + plain), SCHEMA.width, ())
    found = split(received(f"1|H0BJCNT0|1|{sealed(plain)}".encode()), SCHEMA.width, (OTHER_KEY, KEY))
    if isinstance(expected, BadFrame):
        assert isinstance(found, BadFrame)
        assert found.reason == expected.reason or (
            expected.reason == "FRAME_NOT_UTF8" and found.reason == "DECRYPT_FAILED"
        )
    else:
        assert found == expected


def control_message(raw):
    """Check a JSON message: a ping with its identical text, a reply of bounded texts, or unreadable without a quotation."""
    text = raw.decode("utf-8", "replace")
    found = reply.parse(text)
    match found:
        case Ping(echo):
            assert echo == text
        case Unreadable(why):
            assert why in UNREADABLE
        case Reply():
            assert json.loads(text)["body"]["rt_cd"] == found.rt_cd
            assert all(
                part.encode() is not None for part in (found.tr_id, found.tr_key, found.rt_cd, found.msg_cd, found.msg1)
            )
    session(text)


def session(text):
    """Check that no reply, however odd, makes the session raise, or do anything but what it may."""
    one = Session(0, "P", PACE, Governor(WAITS, lambda: 0.5), clean=unchanged)
    one.want((BOND, OTHER_BOND), 0.0)
    one.opened("approval-canary", 0.0)
    requests = one.converge(0.0)
    assert [type(effect) for effect in requests] == [Send]
    effects = one.receive_control(text, 0.1)
    assert all(isinstance(effect, Send | Echo | Close | ReissueKey | Refused | Strange) for effect in effects)
    assert len(effects) <= 1
    assert "canary" not in repr(effects)
    view = one.view
    # What KIS says it registered unasked is in view, too: it is held, and is to be released.
    assert all(has_shape(isin) and isin in text for isin in set(view.registrations) - {BOND, OTHER_BOND})
    for _ in range(3):
        one.converge(0.2)
    assert one.next_deadline(0.2) is None or one.next_deadline(0.2) >= 0.0


@cache
def _published(name):
    return jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / name).read_text()))


def control_value(raw):
    """Check a control record: a wish the published schema allows, or a refusal that leaves what was in force and can be published."""
    name, _, value = raw.partition(b"\n")
    before = subscription.apply(
        Lists(), ControlRecord(b"desk", b'{"instruments": ["%s"]}' % BOND.encode(), Position(0, 1), 1)
    )
    list_name = subscription.list_name(name)
    if list_name is None:
        assert subscription.apply(before, ControlRecord(name, value, Position(0, 2), 2)) == before
        return
    judged = control_record.parse(list_name, value)
    after = subscription.apply(before, ControlRecord(name, value, Position(0, 2), 2))
    assert (
        subscription.restore(before, [ControlRecord(name, value, Position(0, 2), 2)]).entries[list_name]
        == after.entries[list_name]
    )
    entry = after.entries[list_name]
    assert entry.control == Position(0, 2)
    match judged:
        case Wish():
            document = json.loads(value)
            assert not [error.message for error in _published("control_record.schema.json").iter_errors(document)]
            assert control_record.from_json(list_name, document) == judged
        case Refusal(reason):
            assert 0 < len(reason) < LONGEST_REASON
            assert reason.encode().decode() == reason
            assert entry.refusal == reason
            assert entry.in_force == (before.entries[list_name].in_force if list_name in before.entries else None)
    situation = status.ReplicaView(subscription.desired(after), {}, {}, after, "fuzz")
    for record in status.records(situation, {}, "2026-11-20T00:00:00.000Z").values():
        assert status.encode(record).decode()


def _headers_are_ascii(headers):
    return all(name.isascii() and value.isascii() for name, value in headers)


def lone(columns):
    """Return a record of these columns."""
    return WireRecord(list(columns), "^".join(columns))
