"""Tests of the log lines about lists, bonds and clocks."""

from structlog.testing import capture_logs

from connector.app.status_log import MOST_LINES, StatusLog

LIST = {"state": "ACCEPTED", "instruments": 2, "control": {"partition": 0, "offset": 1}}
BOND = {"state": "ACTIVE", "slot": 0}


def told(before, after):
    """Return the log lines about records that changed."""
    with capture_logs() as lines:
        StatusLog().note(before, after, after.keys() | before.keys())
    return [{name: value for name, value in line.items() if name != "log_level"} for line in lines]


def test_an_accepted_list_is_one_line():
    """A list that was accepted is named with its number of bonds, and again when it is replaced."""
    line = {"event": "list_accepted", "list": "desk", "bonds": 2}
    assert told({}, {"list/desk": LIST}) == [line]
    assert told({"list/desk": LIST}, {"list/desk": LIST | {"control": {"partition": 0, "offset": 2}}}) == [line]
    assert told({"list/desk": LIST}, {"list/desk": LIST}) == []
    assert told({}, {"list/desk": LIST | {"state": "REFUSED"}}) == []
    assert told({"list/desk": LIST}, {}) == []


def test_an_active_bond_is_one_line():
    """A bond that became active is named with its slot; one that stays active is not."""
    line = {"event": "bond_active", "isin": "KR103502GA34", "slot": 0}
    for state in ("PENDING", "DISCONNECTED"):
        assert told({"instrument/KR103502GA34": BOND | {"state": state}}, {"instrument/KR103502GA34": BOND}) == [line]
    assert told({"instrument/KR103502GA34": BOND}, {"instrument/KR103502GA34": BOND | {"slot": 1}}) == []
    assert told({"instrument/KR103502GA34": BOND}, {}) == []


def test_very_many_are_summed_up():
    """Of a thousand lists and bonds, the first have a line each and the rest one line."""
    lists = {f"list/{number}": LIST for number in range(1_000)}
    bonds = {f"instrument/{number}": BOND for number in range(1_000)}
    for records, more in (
        (lists, {"event": "more_lists_accepted", "lists": 980}),
        (bonds, {"event": "more_bonds_active", "bonds": 980}),
    ):
        lines = told({}, records)
        assert len(lines) == MOST_LINES + 1
        assert lines[-1] == more


def test_other_records_have_no_line():
    """A slot's record is no list and no bond."""
    assert told({}, {"slot/0": {"state": "ACTIVE", "slot": 0}}) == []


def test_that_nothing_is_wanted_is_said_once():
    """An operator is told how to ask for a bond, again only after something was wanted."""
    own = StatusLog()
    with capture_logs() as lines:
        for isins in ((), (), {"KR103502GA34"}, (), ()):
            own.note_wanted(isins)
    assert [line["event"] for line in lines] == ["nothing_wanted"] * 2
    assert "kis-bond subs add" in lines[0]["message"]


def test_a_clock_that_is_ahead_is_said_once():
    """The owner is named with its seconds, and again only after its clock was right in between."""
    own = StatusLog()
    with capture_logs() as lines:
        for ahead in ({"two": 31.4}, {"two": 31.5, "three": 99.0}, {"three": 99.0}, {"two": 40.0}):
            own.note_clocks(ahead)
    assert [(line["event"], line["owner"], line["seconds_ahead"]) for line in lines] == [
        ("clocks_differ", "two", 31),
        ("clocks_differ", "three", 99),
        ("clocks_differ", "two", 40),
    ]
