"""What must hold of any bytes, one function for each target; it raises AssertionError otherwise.

Hypothesis runs the functions on its own grammar, pytest on the corpus, and atheris on the inputs
that it finds: `make fuzz`.
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
from connector.core.kis.backoff import Backoff
from connector.core.kis.effect import Close, Echo, Refused, ReissueKey, Send, Strange
from connector.core.kis.reply import Ping, Reply, Unreadable
from connector.core.kis.session import Session
from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.core.printable import printable
from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, TickEncoder, TickSchema, decode
from connector.core.ticks.frame import BadFrame, Received, WireRecord, split
from connector.logs.redaction import Redactor
from connector.packaged_files import bond_tick
from tests.core.kis.kis_model import PACE, WAITS, unchanged
from tests.core.lists.at_once import apply, restore
from tests.fuzz import growth, second_opinion

ROOT = Path(__file__).parents[2]
SCHEMA = TickSchema(bond_tick())
KEY = CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
OTHER_KEY = CipherKey("z" * 32, "f" * 16)
RECEIVED_NS = 1_795_148_264_123_000_000  # 2026-11-20 13:17:44.123 in Seoul
BOND, OTHER_BOND = "KR103502GA34", "KR103502GD31"
LONGEST_REASON = 2000
CANARY = "canary-canary-canary"
# The canary as peers may spell it.
SPELLINGS = (
    CANARY,
    *(CANARY.replace("-c", f"{gap}-c") for gap in ("\n", "\r\n  ", "\u200b", "&shy;", "<br>")),
    *(CANARY.replace("-", dash) for dash in ("%2D", "%252D", "\\u002d", "&#45;")),
    base64.b64encode(CANARY.encode()).decode(),
    CANARY.encode().hex(),
)
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
    """Return a payload as KIS encrypts it."""
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    sealer = Cipher(algorithms.AES(key.key.encode()), modes.CBC(key.iv.encode())).encryptor()
    return base64.b64encode(sealer.update(padded) + sealer.finalize()).decode()


@cache
def encoder():
    """Return the one encoder for all inputs: a running connector has one as well.

    Its caches must never change an answer.
    """
    return TickEncoder(SCHEMA, SCHEMA.single_object_prefix)


def frame(raw, *, binary=False):
    """Check a message: records or one reason, as the second opinion says, and no byte lost."""
    message = received(raw, binary=binary)
    found = split(message, (KEY,))
    expected = second_opinion.frame(raw, binary=binary)
    if isinstance(found, BadFrame):
        assert found.detail.isascii()
        assert expected == found.reason or (expected == "DECRYPT" and found.reason in {"DECRYPT_FAILED", "FRAME_ARITY"})
        letter = _published(dead_letter.of_frame(message, found))
        _keeps_all_but_secrets(letter, raw)
        return
    assert expected == "DECRYPT" or expected == [as_sent(one) for one in found]
    for one in found:
        assert one.raw == b"^".join(as_sent(one))
        assert one.is_utf8 == _is_utf8(one.raw)
        assert split(received(b"0|H0BJCNT0|1|" + one.raw), ()) == [one]
        record(one, message)


def _published(letter):
    """Return a dead letter as a connector publishes it that knows one secret."""
    return dead_letter.without_secrets(letter, redactor().clean, redactor().clean_known)


def _keeps_all_but_secrets(letter, raw):
    """Check that a dead letter has the bytes as received, or says that secrets were hidden."""
    is_hidden = dict(letter.headers)["detail"].endswith(b"; secrets were hidden")
    assert (dead_letter.HIDDEN in letter.value and letter.value != raw) if is_hidden else letter.value == raw
    assert _headers_are_ascii(letter.headers)


def record(wire, message):
    """Check a record: a tick with the second opinion's values, or the first bad column."""
    tick = encoder().encode(wire, encoder().origin(message.received_ns // 1_000_000))
    columns = as_sent(wire)
    expected = second_opinion.record(columns)
    if isinstance(tick, BadTick):
        assert (tick.reason, tick.field) == expected
        letter = _published(dead_letter.of_record(message, wire, tick))
        _keeps_all_but_secrets(letter, wire.raw)
        isin = wire.columns[0]
        assert letter.key == (columns[0] if second_opinion.is_isin(isin) else None)
        return
    value = decode(tick.value, SCHEMA)
    assert {name: value[name] for name in second_opinion.KINDS} == expected
    assert value["extra"] == second_opinion.extra(columns)
    assert tick.timestamp_ms <= message.received_ns // 1_000_000


def sealed_frame(plain):
    """Check that an encrypted frame gives the same answer as its payload in clear."""
    expected = split(received(b"0|H0BJCNT0|1|" + plain), ())
    found = split(received(f"1|H0BJCNT0|1|{sealed(plain)}".encode()), (OTHER_KEY, KEY))
    if isinstance(expected, BadFrame):
        assert isinstance(found, BadFrame)
        assert expected.reason == "FRAME_ARITY"
        # A wrong key may give UTF-8 with good padding by chance, and then nothing says it is wrong.
        assert found.reason == expected.reason or (found.reason == "DECRYPT_FAILED" and not _is_utf8(plain))
    else:
        assert found == expected


def control_message(raw):
    """Check a JSON message: a ping, a reply of bounded texts, or unreadable and not quoted."""
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
    """Check that a session survives any reply and does only what it may."""
    one = Session(0, "P", PACE, Backoff(WAITS, lambda: 0.5), clean=unchanged)
    one.want((BOND, OTHER_BOND), 0.0)
    one.opened("approval-canary", 0.0)
    requests = one.converge(0.0)
    assert [type(effect) for effect in requests] == [Send]
    effects = one.receive_control(text, 0.1)
    assert all(isinstance(effect, Send | Echo | Close | ReissueKey | Refused | Strange) for effect in effects)
    assert len(effects) <= 1
    assert "canary" not in repr(effects)
    view = one.view
    # A bond that KIS registered unasked is in view as well: it counts as held until released.
    assert all(has_shape(isin) and isin in text for isin in set(view.registrations) - {BOND, OTHER_BOND})
    for _ in range(3):
        one.converge(0.2)
    assert one.next_deadline(0.2) is None or one.next_deadline(0.2) >= 0.0


@cache
def _schema(name):
    return jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / name).read_text()))


def control_value(raw):
    """Check a control record: a wish the schema allows, or a refusal that keeps the old list."""
    name, _, value = raw.partition(b"\n")
    before = _desk()
    list_name = subscription.list_name(name)
    if list_name is None:
        assert apply(before, ControlRecord(name, value, Position(0, 2), 2)) == before
        return
    judged = control_record.parse(list_name, value)
    after = apply(before, ControlRecord(name, value, Position(0, 2), 2))
    assert (
        restore(before, [ControlRecord(name, value, Position(0, 2), 2)]).entries[list_name] == after.entries[list_name]
    )
    entry = after.entries[list_name]
    assert entry.control == Position(0, 2)
    match judged:
        case Wish():
            document = json.loads(value)
            assert not [error.message for error in _schema("control.schema.json").iter_errors(document)]
            assert control_record.from_json(list_name, document) == judged
        case Refusal(reason):
            assert 0 < len(reason) < LONGEST_REASON
            assert reason.encode().decode() == reason
            assert entry.refusal == reason
            assert entry.in_force == (before.entries[list_name].in_force if list_name in before.entries else None)
    situation = status.ReplicaView({}, {}, after, "fuzz")
    for record in status.records(situation, {}, "2026-11-20T00:00:00.000Z").values():
        assert status.encode(record).decode()


def control_key(raw):
    """Check a control record's key: a list is named, or nothing changes, in linear time."""
    before = _desk()
    name, after = subscription.list_name(raw), _applied(before, raw)
    if name is None:
        assert after == before
    else:
        entry = after.entries[name]
        assert (entry.refusal is None) == (1 <= len(name) <= control_record.MAX_NAME_CHARACTERS)
        assert entry.refusal is None or 0 < len(entry.refusal) < LONGEST_REASON
        assert printable(name).isprintable()
    growth.assert_linear(
        lambda text: _published_and_logged(_applied(before, text.encode())), raw.decode(errors="ignore")
    )


def peer_text(raw):
    """Check a text of a peer: no secret of ours is shown, on one line, in linear time."""
    text = raw.decode(errors="replace")
    for spelling in ("", *SPELLINGS):
        # A sign before it, such as the `%` of `%ca`, could take the canary's first letters.
        shown = f"{text[: len(text) // 2]}|{spelling}|{text[len(text) // 2 :]}"
        for limit in (None, 20, 1000):
            line = printable(redactor().clean(shown, limit))
            assert not spelling or printable(spelling) not in line
            assert line.isprintable()
            assert printable(line) == line
    growth.assert_linear(lambda longer: printable(redactor().clean(longer)), text)
    growth.assert_linear(lambda longer: redactor().clean(printable(longer)), text)


@cache
def redactor():
    """Return a redactor that knows one secret."""
    one = Redactor()
    one.hide(CANARY)
    return one


def _desk():
    """Return the lists after one of one bond."""
    return apply(Lists(), ControlRecord(b"desk", b'{"instruments": ["%s"]}' % BOND.encode(), Position(0, 1), 1))


def _applied(lists, key):
    """Return the lists after a good record with this key."""
    return apply(lists, ControlRecord(key, b'{"instruments": ["%s"]}' % BOND.encode(), Position(0, 2), 2))


def _published_and_logged(lists):
    """Make the status records of lists, and their log lines."""
    view = status.ReplicaView({}, {}, lists, "fuzz")
    for key, record in status.records(view, {}, "2026-11-20T00:00:00.000Z").items():
        printable(redactor().clean(json.dumps({"list": key, "record": status.encode(record).decode()})))


def _headers_are_ascii(headers):
    return all(name.isascii() and value.isascii() for name, value in headers)


def as_sent(record):
    """Return a record's columns as the bytes KIS sent."""
    return [column.encode("utf-8", "surrogateescape") for column in record.columns]


def _is_utf8(raw):
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def lone(columns):
    """Return a record of these columns."""
    return WireRecord(list(columns), "^".join(columns))
