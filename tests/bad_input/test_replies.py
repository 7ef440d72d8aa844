"""Bad-input matrix, JSON messages: CTRL_SHAPE or a reply, and what each of KIS's codes makes of a bond and of the session."""

import json

import pytest

from connector.core.kis.effect import Close, Echo, ReissueKey, Send, Strange
from connector.core.kis.reply import Ping, Reply, parse
from tests.core.kis.kis_model import LIMIT, A, B, C, World, reply

SUCCESS = '{"rt_cd":"0","msg_cd":"OPSP0000","msg1":"SUBSCRIBE SUCCESS"}'


def message(header='{"tr_id":"H0BJCNT0"}', body=SUCCESS):
    """Return a message of KIS's shape."""
    return f'{{"header":{header},"body":{body}}}'


SHAPES = {
    "one brace": "{",
    "cut off": message()[:-1],
    "bytes behind the object": message() + "x",
    "two objects": message() * 2,
    "BOM": "\ufeff" + message(),
    "NUL in a string": message(body=SUCCESS.replace("SUCCESS", "\x00")),
    "line break in a string": message(body=SUCCESS.replace("SUCCESS", "\n")),
    "half an escape": message(body=SUCCESS.replace("SUCCESS", "\\u12")),
    "single quotes": message().replace('"', "'"),
    "deep in objects": '{"a":' * 100_000,
    "deep in arrays": '{"a":' + "[" * 65 + "]" * 65 + "}",
    "deep where nobody looks": message(header='{"x":' + "[" * 65 + "]" * 65 + "}"),
    "deeper than our own stack": message(header='{"x":' + "[" * 20_000 + "]" * 20_000 + "}"),
    "number of five thousand digits": '{"a":' + "1" * 5000 + "}",
    "a thousand empty objects": '{"a":[' + ",".join(["{}"] * 1000) + "]}",
    "duplicate header": '{"header":{},"header":{},"body":' + SUCCESS + "}",
    "duplicate rt_cd": message(body='{"rt_cd":"0","rt_cd":"1","msg_cd":"OPSP0000"}'),
    "duplicate key where nobody looks": message(header='{"x":{"y":1,"y":2}}'),
    "empty object": "{}",
    "body missing": '{"header":{"tr_id":"H0BJCNT0","tr_key":"KR103502GA34"}}',
    "body null": message(body="null"),
    "body an array": message(body="[]"),
    "body a text": message(body='"' + "x" * 100 + '"'),
    "rt_cd missing": message(body='{"msg_cd":"OPSP0000"}'),
    "rt_cd a number": message(body='{"rt_cd":0,"msg_cd":"OPSP0000"}'),
    "rt_cd empty": message(body='{"rt_cd":"","msg_cd":"OPSP0000"}'),
    "rt_cd with a blank": message(body='{"rt_cd":"0 ","msg_cd":"OPSP0000"}'),
    "msg_cd null": message(body='{"rt_cd":"1","msg_cd":null}'),
    "msg_cd of many words": message(body='{"rt_cd":"1","msg_cd":"OPSP 0000 or so"}'),
    "msg_cd with a line break": message(body='{"rt_cd":"1","msg_cd":"OPSP0000\\n"}'),
    "msg1 of one megabyte": message(body=SUCCESS.replace("SUCCESS", "x" * 2**20)),
    "(null) and nothing usable": message(header='{"tr_id":"(null)"}', body="{}"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shapeless_message_is_counted_and_changes_nothing(name):
    """JSON without a usable rt_cd and msg_cd is CTRL_SHAPE, quoted nowhere, and the session goes on as it was."""
    world = opened(A)
    before = world.session.view
    [effect] = world.session.receive_control(SHAPES[name], world.now)
    assert isinstance(effect, Strange)
    assert effect.why.startswith("CTRL_SHAPE: ")
    assert len(effect.why) < 60
    assert (world.session.unreadable, world.session.view) == (1, before)


READ = {
    "header null": (message(header="null"), ("", "", "0", "OPSP0000")),
    "header missing": ('{"body":' + SUCCESS + "}", ("", "", "0", "OPSP0000")),
    "header an array": (message(header="[]"), ("", "", "0", "OPSP0000")),
    "tr_id (null)": (message(header='{"tr_id":"(null)","tr_key":""}'), ("(null)", "", "0", "OPSP0000")),
    "tr_key a number": (message(header='{"tr_id":"H0BJCNT0","tr_key":7}'), ("H0BJCNT0", "", "0", "OPSP0000")),
    "rt_cd never seen": (message(body='{"rt_cd":"7","msg_cd":"OPSP0000"}'), ("H0BJCNT0", "", "7", "OPSP0000")),
    "msg_cd never seen": (message(body='{"rt_cd":"1","msg_cd":"OPSP4711"}'), ("H0BJCNT0", "", "1", "OPSP4711")),
    "msg1 of fifty kilobytes": (
        message(body=SUCCESS.replace("SUCCESS", "x" * 50_000)),
        ("H0BJCNT0", "", "0", "OPSP0000"),
    ),
    "msg1 with half a surrogate pair": (
        message(body=SUCCESS.replace("SUCCESS", "\\ud800")),
        ("H0BJCNT0", "", "0", "OPSP0000"),
    ),
    "fields never seen": (message(header='{"tr_id":"H0BJCNT0","x":[{}]}'), ("H0BJCNT0", "", "0", "OPSP0000")),
    "blanks around": ("\r\n\t " + message() + " \n", ("H0BJCNT0", "", "0", "OPSP0000")),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_reply_is_read_by_its_codes(name):
    """A reply is what its rt_cd and msg_cd say, however odd the rest; its texts are short and can be written as UTF-8."""
    text, expected = READ[name]
    found = parse(text)
    assert isinstance(found, Reply)
    assert (found.tr_id, found.tr_key, found.rt_cd, found.msg_cd) == expected
    assert found.msg1.encode().decode() == found.msg1


PINGS = {
    "as KIS sends it": '{"header":{"tr_id":"PINGPONG","datetime":"20231004160455"}}',
    "lower case": '{"header":{"tr_id":"pingpong","datetime":"20231004160455"}}',
    "mixed case": '{"header":{"tr_id":"PingPong"}}',
    "with a body": '{"header":{"tr_id":"PINGPONG"},"body":{"rt_cd":"1","msg_cd":"OPSP8996"}}',
    "with blanks and line breaks": ' {\r\n"header" : {"tr_id":"PINGPONG"} }\n',
    "with a name in Korean": '{"header":{"tr_id":"PINGPONG","이름":"국고"}}',
}


@pytest.mark.parametrize("name", PINGS)
def test_a_pingpong_goes_back_as_the_identical_text(name):
    """A PINGPONG in any case, with or without a body, is answered with its own text."""
    assert opened(A).session.receive_control(PINGS[name], 1.0) == [Echo(PINGS[name])]
    assert parse(PINGS[name]) == Ping(PINGS[name])


def opened(*isins):
    """Return a tiny exchange with an open session that wants these bonds and has not asked yet."""
    world = World(limit=LIMIT)
    world.session.want(isins, 0.0)
    world.connect()
    return world


# What KIS answers to the registration of a bond: the bond's state then, and what the session does.
CODES = {
    "success": ("OPSP0000", "ACTIVE", None),
    "already subscribed": ("OPSP0002", "ACTIVE", None),
    "over the limit": ("OPSP0008", "WAITING_CAPACITY", None),
    "unknown instrument": ("OPSP8992", "REJECTED", None),
    "unknown instrument, the other code": ("OPSP8993", "REJECTED", None),
    "malformed request": ("OPSP9999", "REJECTED", None),
    "code never seen": ("OPSP4711", "REJECTED", None),
    "trouble inside": ("OPSP0007", "PENDING", None),
    "busy": ("OPSP9995", "PENDING", None),
    "invalid approval": ("OPSP0011", "PENDING", ReissueKey),
    "invalid app key": ("OPSP9994", "PENDING", ReissueKey),
    "app key in use": ("OPSP8996", "PENDING", Close),
}


@pytest.mark.parametrize("nobody", [False, True], ids=["named", "(null)"])
@pytest.mark.parametrize("name", CODES)
def test_each_code_is_mapped(name, nobody):
    """Each code of KIS's makes one state of the bond and one act of the session, also where an error names nobody."""
    code, state, act = CODES[name]
    world = opened(A)
    assert [type(effect) for effect in world.session.converge(0.0)] == [Send]
    if nobody and code in {"OPSP0000", "OPSP0002"}:
        text = reply(code, A, tr_id="(null)")
    else:
        text = reply(code, "" if nobody else A, tr_id="(null)" if nobody else "H0BJCNT0")
    effects = world.session.receive_control(text, 0.1)
    assert world.session.view.registrations[A].state == state
    assert [type(effect) for effect in effects if isinstance(effect, Close | ReissueKey)] == ([act] if act else [])
    assert world.session.unreadable == 0


def test_a_limit_is_learnt():
    """OPSP0008 teaches the session its limit: the accepted bond stays, the others wait with the code, and nobody keeps asking."""
    world = opened(A, B, C)
    world.advance(60)
    assert world.states() == {A: "ACTIVE", B: "WAITING_CAPACITY", C: "WAITING_CAPACITY"}
    assert world.session.view.registrations[B].code == "OPSP0008"
    assert world.session.capacity == LIMIT
    assert len(world.requests) < 10


def test_an_app_key_in_use_blocks_the_slot():
    """OPSP8996 ends the session, blocks the slot with KIS's code, and the next try is a long wait away."""
    world = opened(A)
    world.session.converge(0.0)
    [close] = world.session.receive_control(reply("OPSP8996", "", tr_id="(null)"), 0.1)
    assert (close.cause, close.code) == ("in_use", "OPSP8996")
    world.obey([close])
    assert (world.session.view.state, world.session.view.code) == ("BLOCKED", "OPSP8996")
    assert world.session.may_connect_at >= 30


def test_a_refused_approval_key_is_reissued_once():
    """The first OPSP0011 gets a new key for the same connection; the second ends the session."""
    world = opened(A)
    world.session.converge(0.0)
    [first] = world.session.receive_control(reply("OPSP0011", A), 0.1)
    world.obey([first])
    [again] = [effect for effect in world.session.converge(10.0) if isinstance(effect, Send)]
    assert json.loads(again.text)["header"]["approval_key"] == "another-key"
    [second] = world.session.receive_control(reply("OPSP0011", A), 10.1)
    assert (second.cause, second.code) == ("approval", "OPSP0011")


STRAY = {
    "success for a bond nobody asked for": reply("OPSP0000", C),
    "success for what is no bond": reply("OPSP0000", "x" * 100),
    "error for a bond nobody asked for": reply("OPSP8992", C),
    "release nobody asked for": reply("OPSP0001", C),
    "reply of another TR": reply("OPSP0000", C, tr_id="H0STCNT0"),
    "success that names nobody": reply("OPSP0000", "", tr_id="(null)"),
}


@pytest.mark.parametrize("name", STRAY)
def test_an_unsolicited_reply_is_counted(name):
    """A reply nobody waits for is counted, and the bond that is held stays ACTIVE."""
    world = opened(A)
    world.advance(1)
    assert world.states() == {A: "ACTIVE"}
    effects = world.session.receive_control(STRAY[name], world.now)
    assert not [effect for effect in effects if isinstance(effect, Close | ReissueKey)]
    assert world.session.unsolicited == 1
    world.advance(10)
    assert world.states() == {A: "ACTIVE"}
