import json

import pytest

from connector.core.kis.backoff import Backoff
from connector.core.kis.effect import Close, Echo, Refused, ReissueKey, Send, Strange
from connector.core.kis.session import Session
from tests.core.kis.kis_model import PACE, WAITS, A, B, C, reply, unchanged

PINGPONG = '{"header":{"tr_id":"PINGPONG","datetime":"20231004160455"}}'


@pytest.fixture
def session():
    """Give a session that has just opened and wants one bond."""
    subject = Session(0, "P", PACE, Backoff(WAITS, lambda: 0.0), clean=unchanged)
    subject.want([A], 0.0)
    subject.opened("key-one", 0.0)
    return subject


def sent(effects):
    """Return the messages among the effects."""
    return [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]


def reply_with_key(key):
    """Return a success that brings this AES key."""
    body = {"rt_cd": "0", "msg_cd": "OPSP0000", "output": {"key": key, "iv": "0" * 16}}
    return json.dumps({"header": {"tr_id": "H0BJCNT0", "tr_key": A}, "body": body})


def confirmed(session, isin=A, now=0.1):
    """Register and confirm a bond."""
    session.converge(now)
    session.receive_control(reply("OPSP0000", isin), now)
    return session


def test_request_carries_the_approval_key(session):
    """A registration is sent with the session's approval key, and its repr does not show it."""
    effects = session.converge(0.0)
    [message] = sent(effects)
    assert message["header"]["approval_key"] == "key-one"
    assert message["body"]["input"] == {"tr_id": "H0BJCNT0", "tr_key": A}
    assert "key-one" not in repr(effects)


def test_pingpong_is_echoed(session):
    """A PINGPONG is answered with its identical text."""
    assert session.receive_control(PINGPONG, 1.0) == [Echo(PINGPONG)]


def test_unreadable_is_counted(session):
    """JSON that cannot be read is counted, and the session goes on."""
    assert session.receive_control("{", 1.0) == [Strange("CTRL_SHAPE: not JSON")]
    assert session.unreadable == 1


def test_refusal_is_told(session):
    """A refused bond is reported with KIS's code."""
    session.converge(0.0)
    assert session.receive_control(reply("OPSP8992", A), 0.1) == [Refused(A, "OPSP8992", "text")]


def test_in_use_closes_and_blocks(session):
    """OPSP8996 closes the connection, blocks the slot and waits long."""
    session.converge(0.0)
    [close] = session.receive_control(reply("OPSP8996", "", "9", "(null)"), 0.1)
    assert close == Close("in_use", "OPSP8996", "text")
    assert session.converge(1.0) == []
    session.closed(close.cause, close.code, close.message, 1.0)
    assert (session.view.state, session.view.code, session.may_connect_at) == ("BLOCKED", "OPSP8996", 31.0)


@pytest.mark.parametrize("named", [A, ""])
@pytest.mark.parametrize("code", ["OPSP0010", "OPSP0011", "OPSP9994", "OPSP9996"])
def test_unknown_key_is_reissued_once(session, code, named):
    """A refused approval key is replaced once on the same socket; after that comes a long wait."""
    session.converge(0.0)
    refusal = reply(code, named, tr_id="H0BJCNT0" if named else "(null)")
    assert session.receive_control(refusal, 0.1) == [ReissueKey(0.0)]
    assert session.converge(5.0) == []
    session.key_reissued("key-two")
    [message] = sent(session.converge(10.0))
    assert message["header"]["approval_key"] == "key-two"
    [close] = session.receive_control(refusal, 10.1)
    assert close.cause == "approval"
    session.closed("approval", code, "text", 11.0)
    assert (session.view.state, session.may_connect_at) == ("BLOCKED", 41.0)


def test_a_refused_key_is_the_reason_however_the_connection_ends(session):
    """One refused key in a row gives an ordinary wait, two give a long one."""
    session.converge(0.0)
    session.receive_control(reply("OPSP0011", A), 0.1)
    assert session.key_refusal == Close("approval", "OPSP0011", "text")
    session.closed("approval", "OPSP0011", "text", 0.2)
    assert (session.view.state, session.view.code) == ("CONNECTING", "OPSP0011")
    assert session.may_connect_at < 10
    session.opened("key-two", 60.0)
    assert session.key_refusal is None
    session.converge(60.0)
    [close] = session.receive_control(reply("OPSP0011", A), 60.1)
    session.closed(close.cause, close.code, close.message, 60.2)
    assert (session.view.state, session.may_connect_at) == ("BLOCKED", 90.2)


def test_a_replaced_key_is_no_reason(session):
    """A connection that ends after its refused key was replaced ended for another reason."""
    session.converge(0.0)
    session.receive_control(reply("OPSP0011", A), 0.1)
    session.key_reissued("key-two")
    assert session.key_refusal is None


def test_refusals_of_the_old_key_count_once(session):
    """Several refusals of the same key ask for one new key, even if one arrives late."""
    session.want([A, B], 0.0)
    session.converge(0.0)
    session.converge(0.2)
    assert session.receive_control(reply("OPSP0011", A), 0.3) == [ReissueKey(0.0)]
    session.key_reissued("key-two")
    assert session.receive_control(reply("OPSP0011", B), 0.4) == []
    assert len(sent(session.converge(0.5)) + sent(session.converge(0.8))) == 2


@pytest.mark.parametrize("wanted", [[A], [A, B], []])
def test_an_error_that_names_no_bond_is_told(session, wanted):
    """Its code and text explain the end, whether one, several or no bonds may be meant."""
    session.want(wanted, 0.0)
    for now in (0.0, 0.2):
        session.converge(now)
    error = reply("OPSP9999", "", rt_cd="9", tr_id="(null)")
    isin = A if wanted == [A] else None
    assert session.receive_control(error, 0.3) == [Refused(isin, "OPSP9999", "text")]
    assert session.last_words(0.4) == Close("reset", "OPSP9999", "text")


def test_an_overdue_error_is_told(session):
    """A refusal that comes after its request counted as unanswered is told with its bond."""
    session.converge(0.0)
    session.converge(PACE.reply_timeout + 0.01)
    now = PACE.reply_timeout + 0.02
    while session._registrations._bonds[A].awaited:
        now += 0.5
        session.converge(now)
    assert Refused(A, "OPSP8993", "text") in session.receive_control(reply("OPSP8993", A), now)


def test_an_error_about_a_bond_that_we_never_asked_for_is_only_counted(session):
    """A peer that names other bonds writes no lines in our log."""
    confirmed(session)
    assert session.receive_control(reply("OPSP8993", B), 0.3) == []
    assert session.unsolicited == 1


@pytest.mark.parametrize(
    ("cause", "about", "order"),
    [
        ("reset", None, [B, A]),
        ("reset", f"{A} ", [B, A]),
        ("closed", f"{A} ", [B, A]),
        ("stop", None, [A, B]),
    ],
)
def test_an_end_that_nothing_explains_is_blamed_on_the_only_request(session, cause, about, order):
    """Our own wish explains the end, but an error about a bond that we never asked for does not."""
    session.want([A, B], 0.0)
    session.converge(0.0)
    if about is not None:
        session.receive_control(reply("OPSP9999", about), 0.05)
    words = session.last_words(0.1)
    session.closed(cause, words and words.code, words and words.message, 0.1)
    session.opened("key-two", 10.0)
    asked = sent(session.converge(10.0))
    session.receive_control(reply("OPSP0000", order[0]), 10.1)
    asked += sent(session.converge(10.2))
    assert [message["body"]["input"]["tr_key"] for message in asked] == order


@pytest.mark.parametrize(("cause", "code"), [("closed", "1011"), ("reset", "1002")])
def test_a_close_frame_explains_no_end(session, cause, code):
    """KIS's reason, or a frame of KIS's that is none, may be what a request brought."""
    session.want([A, B], 0.0)
    session.converge(0.0)
    session.closed(cause, code, "internal error", 0.1)
    session.opened("key-two", 10.0)
    assert [message["body"]["input"]["tr_key"] for message in sent(session.converge(10.0))] == [B]


@pytest.mark.parametrize("times", [1, 2])
def test_an_error_about_one_bond_explains_the_end_to_the_other(session, times):
    """KIS refuses a bond and ends the session: the other bond that it did not answer goes first."""
    session.want([A, B, C], 0.0)
    session.converge(0.0)
    session.converge(0.2)
    for _ in range(times):
        session.receive_control(reply("OPSP8993", B), 0.25)
    session.closed("reset", "OPSP8993", "text", 0.3)
    session.opened("key-two", 10.0)
    asked = sent(session.converge(10.0) + session.converge(10.2))
    assert [message["body"]["input"]["tr_key"] for message in asked] == [A, C]


def test_an_error_that_names_no_bond_explains_the_end(session):
    """Nobody is to blame, though one bond alone is unanswered in the end."""
    session.want([A, B], 0.0)
    session.converge(0.0)
    session.converge(0.2)
    session.receive_control(reply("OPSP9999", "", tr_id="(null)"), 0.25)
    session.receive_control(reply("OPSP0000", B), 0.28)
    session.closed("reset", "OPSP9999", "text", 0.3)
    session.opened("key-two", 10.0)
    assert sent(session.converge(10.0))[0]["body"]["input"]["tr_key"] == A


def test_flowing_bonds_outlive_a_refused_key(session):
    """While another bond flows, a session waits for its next key on the open connection."""
    confirmed(session)
    session.want([A, B], 1.0)
    session.converge(1.0)
    assert session.receive_control(reply("OPSP0011", B), 1.1) == [ReissueKey(0.0)]
    session.key_reissued("key-two")
    session.converge(2.0)
    assert session.receive_control(reply("OPSP0011", B), 2.1) == [ReissueKey(30.0)]
    assert session.view.state == "CONNECTED"


def test_old_key_is_renewed_before_a_request(session):
    """A session with an expired key gets another one, but only before it sends a request."""
    session.opened("key-one", 0.0, expires_at=100.0)
    session.data_received(90.0)
    confirmed(session, now=90.0)
    session.heard(110.0)
    assert session.converge(110.0) == []
    session.want([A, B], 110.0)
    assert session.converge(110.0) == [ReissueKey(0.0)]
    session.key_reissued("key-two", 200.0)
    assert sent(session.converge(111.0))[0]["header"]["approval_key"] == "key-two"


def test_silence_closes(session):
    """A session is closed if neither data nor a PINGPONG arrives within the timeout."""
    confirmed(session, now=1.0)
    session.receive_control(PINGPONG, 30.0)
    assert session.converge(74.9) == []
    session.data_received(74.9)
    assert session.converge(119.8) == []
    [close] = session.converge(119.9)
    assert (close.cause, close.code) == ("silence", None)


def test_silence_waits_longer_after_barren_sessions(session):
    """After a silent session without one frame, the next one may be silent twice as long."""
    session.closed("silence", None, None, 45.0)
    session.opened("key-one", 50.0)
    assert all(not isinstance(effect, Close) for effect in session.converge(139.9))
    assert isinstance(session.converge(140.0)[0], Close)


def test_leaving_releases_then_closes(session):
    """A leaving slot releases its bonds, and closes with its cause once that is confirmed."""
    confirmed(session)
    session.leave("lease", 5.0)
    assert sent(session.converge(2.0))[0]["header"]["tr_type"] == "2"
    assert session.converge(2.5) == []
    session.receive_control(reply("OPSP0001", A), 2.6)
    assert session.converge(2.6)[0].cause == "lease"


def test_leaving_releases_what_rests(session):
    """A leaving slot releases a resting bond at once."""
    for now in (10.0, 11.0):
        session.want([A], now)
        confirmed(session, now=now)
        session.want([], now + 0.4)
        session.converge(now + 0.5)
        session.receive_control(reply("OPSP0001", A), now + 0.6)
    session.want([A], 12.0)
    confirmed(session, now=12.0)
    session.want([], 12.4)
    assert session.converge(12.5) == []
    session.leave("stop", 16.0)
    assert sent(session.converge(12.6))[0]["header"]["tr_type"] == "2"


def test_leaving_ends_in_time(session):
    """A leaving slot ignores new wishes, and closes at the deadline even unconfirmed."""
    confirmed(session)
    session.leave("stop", 5.0)
    session.want([A, B], 2.0)
    session.converge(2.0)
    assert session.converge(4.9) == []
    assert session.converge(5.0)[0].cause == "stop"


def test_connect_and_close_are_a_second_apart():
    """Even a session that has to leave at once stays open for a second."""
    subject = Session(0, "P", PACE, Backoff(WAITS, lambda: 0.0), clean=unchanged)
    subject.opened("key", 0.0)
    subject.leave("stop", 3.0)
    assert subject.converge(0.9) == []
    assert subject.next_deadline(0.9) == 1.0
    assert subject.converge(1.0)[0].cause == "stop"


def test_empty_wish_closes_after_a_while(session):
    """An empty list closes the connection after a while, unless it is filled again in time."""
    confirmed(session)
    session.want([], 10.0)
    session.converge(10.0)
    session.receive_control(reply("OPSP0001", A), 10.1)
    assert session.converge(11.9) == []
    session.want([A], 11.95)
    assert sent(session.converge(12.0))
    session.receive_control(reply("OPSP0000", A), 12.1)
    assert session.view.state == "CONNECTED"


def test_drop_makes_everything_pending(session):
    """After a drop nothing is active, and the next connection registers everything again."""
    confirmed(session)
    session.closed("reset", None, "gone", 5.0)
    seen = session.view
    assert (seen.state, seen.registered, seen.registrations[A].state, seen.message) == (
        "CONNECTING",
        0,
        "PENDING",
        "gone",
    )
    assert session.may_connect_at >= 6.0
    session.opened("key-one", 7.0)
    assert sent(session.converge(7.0))


def test_refused_app_key_has_no_capacity(session):
    """A slot with a refused app key is BLOCKED with capacity 0 until KIS issues an approval key."""
    session.closed("refused", "EGW00103", "no", 5.0)
    session.want([], 5.0)
    assert (session.view.state, session.capacity, session.may_connect_at) == ("BLOCKED", 0, 65.0)
    session.closed("approval", None, "out of reach", 65.0)
    assert (session.view.state, session.capacity) == ("BLOCKED", 0)
    session.app_key_accepted()
    assert (session.view.state, session.capacity) == ("IDLE", 41)


def test_idle_without_a_wish():
    """A slot without wanted bonds is IDLE and needs no connection."""
    subject = Session(3, "P", PACE, Backoff(WAITS, lambda: 0.0), clean=unchanged)
    assert (subject.view.state, subject.view.slot, subject.is_needed) == ("IDLE", 3, False)
    assert subject.next_deadline(0.0) is None


def test_keys_are_kept_newest_last(session):
    """Cipher keys of replies are saved once each, the newest last, and end with their session."""
    for now, key in enumerate(("a" * 32, "b" * 32, "a" * 32)):
        session.want([A], now)
        session.converge(now)
        session.receive_control(reply_with_key(key), now)
        session.want([], now + 0.3)
        session.converge(now + 0.4)
        session.receive_control(reply("OPSP0001", A), now + 0.5)
    assert [cipher_key.key[0] for cipher_key in session.cipher_keys] == ["b", "a"]
    session.opened("key", 9.0)
    assert not session.cipher_keys


def test_keys_come_only_with_expected_replies(session):
    """A reply that we do not expect brings no key, so that a peer cannot send them without end."""
    session.converge(0.0)
    for number in range(100):
        session.receive_control(reply_with_key(f"{number:032}"), 0.1)
    assert [key.key for key in session.cipher_keys] == [f"{0:032}"]


def test_only_life_resets_the_back_off(session):
    """A confirmed registration is no proof of life; data is."""
    confirmed(session)
    session.closed("reset", None, None, 1.0)
    first = session.may_connect_at - 1.0
    session.opened("key", 10.0)
    confirmed(session, now=10.0)
    session.closed("reset", None, None, 11.0)
    assert session.may_connect_at - 11.0 > first
    session.opened("key", 20.0)
    session.data_received(20.5)
    session.closed("reset", None, None, 21.0)
    assert session.may_connect_at - 21.0 == first
