"""KIS's JSON texts, compared with recorded ones."""

import json

import pytest

from simulator.reply import Keys, pingpong, reply

SUCCESS = (
    '{"header":{"tr_id":"H0BJCNT0","tr_key":"KR103502GD31","encrypt":"N"},"body":{"rt_cd":"0","msg_cd":"OPSP0000",'
    '"msg1":"SUBSCRIBE SUCCESS",'
    '"output":{"iv":"0123456789abcdef","key":"abcdefghijklmnopabcdefghijklmnop"}}}'
)
IN_USE = (
    '{"header":{"tr_id":"(null)","tr_key":"","encrypt":"N"},'
    '"body":{"rt_cd":"9","msg_cd":"OPSP8996","msg1":"ALREADY IN USE appkey"}}'
)
NOT_JSON = (
    '{"header":{"tr_id":"(null)","tr_key":"","encrypt":"N"},'
    '"body":{"rt_cd":"9","msg_cd":"OPSP9999","msg1":"JSON PARSING ERROR : invalid json format"}}'
)
BAD_KEY = (
    '{"header":{"tr_id":"","tr_key":"","encrypt":"N"},"body":{"rt_cd":"9","msg_cd":"OPSP8993",'
    '"msg1":"JSON PARSING ERROR : invalid tr_key"}}'
)
BAD_HTS_ID = (
    '{"header":{"tr_id":"(null)"},"body":{"rt_cd":"9","msg_cd":"OPSP0017","msg1":"ERROR : htsid가잘못되었습니다"}}'
)


def test_success():
    """A success is the portal's sample, byte for byte."""
    keys = Keys("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
    assert reply("OPSP0000", "H0BJCNT0", "KR103502GD31", keys) == SUCCESS


@pytest.mark.parametrize(
    ("code", "text"), [("OPSP8996", IN_USE), ("OPSP9999", NOT_JSON), ("OPSP8993", BAD_KEY), ("OPSP0017", BAD_HTS_ID)]
)
def test_errors(code, text):
    """Session and parse errors are the recorded ones, byte for byte."""
    assert reply(code, "H0BJCNT0", "KR103502GD31") == text


def test_a_refused_registration_names_its_bond():
    """A refusal that leaves the session alive echoes tr_id and tr_key."""
    header = json.loads(reply("OPSP0008", "H0BJCNT0", "KR103502GD31"))["header"]
    assert header == {"tr_id": "H0BJCNT0", "tr_key": "KR103502GD31", "encrypt": "N"}


def test_pingpong_is_the_recorded_text():
    """A PINGPONG holds the Seoul time and nothing else."""
    assert pingpong(1696403095.0) == '{"header":{"tr_id":"PINGPONG","datetime":"20231004160455"}}'


def test_keys_stay_out_of_repr():
    """The repr of keys shows neither."""
    assert repr(Keys("k" * 32, "i" * 16)) == "Keys()"
