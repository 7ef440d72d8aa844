import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.kis.reply import Ping, Reply, Unreadable, is_control, parse, request

# The portal's sample for this TR; iv and key are the portal's dummies.
SUCCESS = (
    '{"header":{"tr_id":"H0BJCNT0","tr_key":"KR103502GD31","encrypt":"N"},"body":{"rt_cd":"0","msg_cd":"OPSP0000",'
    '"msg1":"SUBSCRIBE SUCCESS","output":{"iv":"0123456789abcdef","key":"abcdefghijklmnopabcdefghijklmnop"}}}'
)
IN_USE = (
    '{"header":{"tr_id":"(null)","tr_key":"","encrypt":"N"},'
    '"body":{"rt_cd":"9","msg_cd":"OPSP8996","msg1":"ALREADY IN USE appkey"}}'
)
HTS_ID = '{"header":{"tr_id":"(null)"},"body":{"rt_cd":"9","msg_cd":"OPSP0017","msg1":"ERROR : htsid가잘못되었습니다"}}'
PINGPONG = '{"header":{"tr_id":"PINGPONG","datetime":"20231004160455"}}'


def test_portal_success_is_read():
    """The portal's success reply gives its key, its code and the AES key and IV."""
    assert parse(SUCCESS) == Reply(
        "H0BJCNT0",
        "KR103502GD31",
        "0",
        "OPSP0000",
        "SUBSCRIBE SUCCESS",
        CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef"),
    )


def test_repr_hides_key_material():
    """A reply's repr shows neither AES key nor IV."""
    shown = repr(parse(SUCCESS))
    assert "abcdefgh" not in shown
    assert "01234567" not in shown


@pytest.mark.parametrize(
    ("text", "expected"), [(IN_USE, ("(null)", "", "9", "OPSP8996")), (HTS_ID, ("(null)", "", "9", "OPSP0017"))]
)
def test_errors_that_name_nobody_are_read(text, expected):
    """A captured error keeps the literal (null) of its header; a missing tr_key reads as empty."""
    reply = parse(text)
    assert isinstance(reply, Reply)
    assert (reply.tr_id, reply.tr_key, reply.rt_cd, reply.msg_cd) == expected


@pytest.mark.parametrize("text", [PINGPONG, PINGPONG.replace("PINGPONG", "pingPong"), " " + PINGPONG + "\n"])
def test_pingpong_keeps_its_text(text):
    """A PINGPONG in any case is a ping that keeps the identical text."""
    assert parse(text) == Ping(text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        "[]",
        "null",
        '{"header":null}',
        '{"header":{}}',
        '{"header":{},"body":{}}',
        '{"header":{},"body":{"rt_cd":0,"msg_cd":"OPSP0000"}}',
        '{"header":{},"body":{"rt_cd":"0","msg_cd":""}}',
        '{"header":{},"body":{"rt_cd":"0","msg_cd":"OPSP 0000 \\n"}}',
        '{"body":{"rt_cd":"0","rt_cd":"1","msg_cd":"OPSP0000"}}',
        '{"a":' * 100_000,
        '{"a":' + "[" * 20_000 + "]" * 20_000 + "}",
        SUCCESS.replace("SUBSCRIBE SUCCESS", "x" * 1024 * 1024),
        '{"a":' + "1" * 5000 + "}",
        '{"a":' + "[" * 64 + "]" * 64 + "}",
    ],
    ids=range(16),
)
def test_unusable_json_is_unreadable(text):
    """Whatever lacks a usable rt_cd and msg_cd is unreadable."""
    assert isinstance(parse(text), Unreadable)


@pytest.mark.parametrize("header", ['"header":null', '"header":[]', '"x":1', '"header":{"tr_id":7,"tr_key":null}'])
def test_header_is_optional(header):
    """A reply with a missing or malformed header is still read; it names no bond."""
    reply = parse("{" + header + ',"body":{"rt_cd":"9","msg_cd":"OPSP9998","msg1":"header not found"}}')
    assert isinstance(reply, Reply)
    assert (reply.tr_id, reply.tr_key) == ("", "")


@pytest.mark.parametrize(
    ("key", "iv"), [("short", "0123456789abcdef"), ("abcdefghijklmnopabcdefghijklmnop", ""), ("가" * 32, "0" * 16)]
)
def test_unusable_keys_are_left_out(key, iv):
    """A reply gives a cipher key only if AES key and IV both have the right length."""
    body = {"rt_cd": "0", "msg_cd": "OPSP0000", "output": {"key": key, "iv": iv}}
    reply = parse(json.dumps({"header": {}, "body": body}))
    assert isinstance(reply, Reply)
    assert reply.cipher_key is None


def test_lone_surrogates_do_not_survive():
    """A message that spells a lone surrogate can be written as UTF-8."""
    reply = parse('{"body":{"rt_cd":"1","msg_cd":"OPSP0007","msg1":"\\ud800 broken"}}')
    assert isinstance(reply, Reply)
    assert reply.msg1.encode() == b"? broken"


def test_unreadable_quotes_nothing():
    """The reason for an unreadable reply quotes nothing of it."""
    assert "abcdefgh" not in repr(parse(SUCCESS[:-1]))


@given(st.text())
def test_parse_never_raises(text):
    """Any text is a ping, a reply or unreadable."""
    assert isinstance(parse(text), Ping | Reply | Unreadable)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_parse_never_raises_on_any_shape(value):
    """Any JSON shape in header and body gives a ping, a reply or unreadable."""
    assert isinstance(parse(json.dumps({"header": value, "body": value})), Ping | Reply | Unreadable)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", True),
        (b" \r\n\t{", True),
        (b"0|H0BJCNT0|001|", False),
        (b"", False),
        (b"\xef\xbb\xbf{}", False),
        (b"[{}]", False),
    ],
)
def test_first_byte_tells_control_from_data(raw, expected):
    """A message is JSON control if its first byte that is not blank is a brace."""
    assert is_control(raw) is expected


def test_request_is_as_documented():
    """A request has the documented bytes, release as tr_type 2."""
    assert request("the-key", "P", "2", "KR103502GA34") == (
        '{"header":{"approval_key":"the-key","custtype":"P","tr_type":"2","content-type":"utf-8"},'
        '"body":{"input":{"tr_id":"H0BJCNT0","tr_key":"KR103502GA34"}}}'
    )
