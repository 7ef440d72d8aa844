"""Faults by name."""

import pytest

from simulator.faults import KINDS, Faults, FaultUnknownError, listing


def test_an_unknown_name_is_told_the_list():
    """An unknown fault's error names every fault there is."""
    with pytest.raises(FaultUnknownError, match="'quiet' is unknown") as caught:
        Faults(["quiet"])
    assert all(name in str(caught.value) for name in KINDS)


@pytest.mark.parametrize(
    "spec",
    [
        "close=abc",
        "malformed=0",
        "silent=1",
        "slow-replies=x",
        f"abrupt={'9' * 400}",
        "approval-body=x",
        "reply:*=0008",
        "reply:=OPSP0008",
    ],
)
def test_a_wrong_value_is_refused(spec):
    """A value the fault cannot take is refused by name."""
    with pytest.raises(FaultUnknownError, match=spec.partition("=")[0].rstrip("*")):
        Faults([spec])


@pytest.mark.parametrize("name", KINDS)
def test_defaults_are_values_the_fault_can_take(name):
    """Every fault can be switched on by its bare name."""
    assert name in Faults([name])


def test_every_nth():
    """A fault with N strikes at every Nth occasion, and not at all while it is off."""
    faults = Faults(["missing=3"])
    assert [faults.strike("missing") for _ in range(6)] == [False, False, True] * 2
    assert not faults.strike("duplicate")


@pytest.mark.parametrize(("spec", "cuts"), [("abrupt=1", True), ("close", True), ("duplicate", False)])
def test_faults_that_cut_sessions(spec, cuts):
    """The faults that end sessions are told from those that change what is sent."""
    faults = Faults([spec])
    assert faults.cut_sessions == cuts
    faults.clear()
    assert not faults.cut_sessions


def test_replies():
    """A code set for one bond wins over that for all."""
    faults = Faults(["reply:*=OPSP0007", "reply:KR103502GA34=OPSP8992"])
    assert (faults.reply_for("KR103502GA34"), faults.reply_for("KR103502GD31")) == ("OPSP8992", "OPSP0007")
    faults.clear("reply:*")
    assert faults.reply_for("KR103502GD31") is None


def test_clear():
    """Faults can be switched off one by one or all at once, and the observer is called."""
    faults = Faults(["silent", "encrypted", "extra=2"])
    told = []
    faults.on_change = lambda: told.append(1)
    faults.clear("silent")
    assert ("silent" in faults, "encrypted" in faults, faults.number("extra", 0)) == (False, True, 2)
    faults.clear()
    assert ("encrypted" in faults, faults.seconds("slow-replies"), len(told)) == (False, None, 2)


def test_listing_has_a_line_for_each():
    """The list for people names each fault once."""
    assert [line.partition(":")[0] for line in listing().splitlines()[:-1]] == list(KINDS)
