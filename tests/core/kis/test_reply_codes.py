import pytest

from connector.core.kis.reply import Reply
from connector.core.kis.reply_codes import REACTIONS, Reaction, reaction

TABLE = {
    "OPSP0000": "REGISTERED", "OPSP0001": "RELEASED", "OPSP0002": "REGISTERED", "OPSP0003": "RELEASED",
    "OPSP0007": "RETRY", "OPSP0008": "FULL", "OPSP0009": "RETRY", "OPSP0010": "REISSUE",
    "OPSP0011": "REISSUE", "OPSP0017": "REFUSE", "OPSP8991": "REFUSE", "OPSP8992": "REFUSE",
    "OPSP8993": "REFUSE", "OPSP8994": "REFUSE", "OPSP8995": "REFUSE", "OPSP8996": "IN_USE",
    "OPSP8997": "REFUSE", "OPSP8998": "REFUSE", "OPSP8999": "RETRY", "OPSP9990": "REFUSE",
    "OPSP9991": "REFUSE", "OPSP9992": "REFUSE", "OPSP9993": "RETRY", "OPSP9994": "REISSUE",
    "OPSP9995": "RETRY", "OPSP9996": "REISSUE", "OPSP9997": "REFUSE", "OPSP9998": "REFUSE",
    "OPSP9999": "REFUSE",
}  # fmt: skip


def said(rt_cd, msg_cd):
    """Return the reaction to a code."""
    return reaction(Reply("H0BJCNT0", "KR103502GA34", rt_cd, msg_cd, ""))


def test_every_documented_code_has_its_reaction():
    """The table holds every documented code with the reaction KIS's advice calls for."""
    assert {code: what.name for code, what in REACTIONS.items()} == TABLE


@pytest.mark.parametrize("code", ["OPSP0002", "OPSP0003"])
def test_done_already_is_done(code):
    """ALREADY IN SUBSCRIBE and "not found" say what KIS holds, although they are errors."""
    assert said("1", code) is REACTIONS[code]


@pytest.mark.parametrize("code", ["OPSP0000", "OPSP0001"])
def test_success_code_in_an_error_confirms_nothing(code):
    """After a success code with an error's rt_cd we ask again."""
    assert said("1", code) is Reaction.RETRY


@pytest.mark.parametrize("code", ["OPSP0099", "OPSP0007", "OPSP8996", "XYZ"])
def test_success_with_another_code_confirms_nothing(code):
    """After rt_cd 0 with any but the four known codes we ask again."""
    assert said("0", code) is Reaction.RETRY


@pytest.mark.parametrize("rt_cd", ["1", "9", "7"])
def test_unknown_error_refuses(rt_cd):
    """An unknown error refuses the bond: KIS blocks clients that register in a loop."""
    assert said(rt_cd, "OPSP0099") is Reaction.REFUSE
