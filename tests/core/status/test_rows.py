"""How `subs ls` shows the status topic."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.core.status import rows
from connector.core.status.rows import Row
from tests.cpu_time import is_within

A, B = "KR103502GA34", "KR103502GD31"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def instrument(**fields):
    """Return an instrument's status record."""
    control = {"partition": 0, "offset": 7}
    return {
        "state": "ACTIVE",
        "lists": ["desk"],
        "slot": 0,
        "since": "s",
        "code": None,
        "message": None,
        "control": control,
    } | fields


def slot(seconds_ago):
    """Return a slot's status record, last written so many seconds ago."""
    return {"state": "CONNECTED", "alive_at": (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")}


def only(status, control=None):
    """Return the one row there is."""
    (row,) = rows.to_rows(status, control or {}, NOW)
    return row


def test_a_reported_bond():
    """A row shows the fields of the bond's status record."""
    assert only({f"instrument/{A}": instrument(), "slot/0": slot(30)}) == Row(A, "ACTIVE", 0, "s", ("desk",), "", 7)


def test_why():
    """The reason in a row is KIS's code and message."""
    row = only({f"instrument/{A}": instrument(state="REJECTED", code="OPSP8992", message="INVALID")})
    assert (row.state, row.why) == ("REJECTED", "OPSP8992 INVALID")


@pytest.mark.parametrize(("seconds", "state"), [(89, "ACTIVE"), (90, "DISCONNECTED")])
def test_a_silent_slot_is_gone(seconds, state):
    """Bonds of a slot silent for 90 s are not active."""
    row = only({f"instrument/{A}": instrument(), "slot/0": slot(seconds)})
    assert row.state == state
    assert ("silent since 2026-01-02T03:02:35Z" in row.why) == (state == "DISCONNECTED")


@pytest.mark.parametrize(
    "record", [{}, {"alive_at": None}, {"alive_at": "then"}, {"alive_at": "2026-01-02T03:04:05"}, None]
)
def test_a_slot_that_says_no_time_is_gone(record):
    """A slot without a readable alive_at counts as silent."""
    status = {f"instrument/{A}": instrument()} | ({} if record is None else {"slot/0": record})
    assert only(status).state == "DISCONNECTED"


def test_a_waiting_bond_has_no_slot():
    """A bond without room is shown as reported even if no slot is alive."""
    assert only({f"instrument/{A}": instrument(state="WAITING_CAPACITY", slot=None)}).state == "WAITING_CAPACITY"


def test_asked_for_and_not_reported():
    """A bond that no connector has reported on is PENDING with all its active lists."""
    control = {
        A: b"{}",
        "desk": b'{"instruments": ["%s"]}' % A.encode(),
        "off": b'{"instruments": ["%s"], "paused": true}' % B.encode(),
        "bad": b"{",
    }
    assert only({}, control) == Row(A, "PENDING", None, None, (A, "desk"), "no connector has reported on it", -1)


def test_foreign_records_do_no_harm():
    """A foreign record is shown as far as it is readable."""
    assert only({f"instrument/{A}": {"lists": "x", "control": 5}}) == Row(A, "None", None, None, (), "", -1)


def nested(depth):
    """Return a list within a list, and so on: its text may be deeper than Python can make."""
    found = []
    for _ in range(depth):
        found = [found]
    return found


ODD = [5, True, 1.5, [1], {"a": [1]}, nested(100_000)]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_field_of_another_type_counts_as_absent(odd):
    """A foreign record with fields of other types than the contract gives a row all the same."""
    fields = dict.fromkeys(("state", "since", "code", "message"), odd)
    status = {f"instrument/{A}": instrument(**fields, slot=[1], lists=["desk", odd], control={"offset": "7"})}
    assert only(status) == Row(A, "None", None, None, ("desk",), "", -1)
    slots = {"slot/0": dict.fromkeys(("state", "alive_at", "capacity", "owner"), odd)}
    assert only({f"instrument/{A}": instrument()} | slots).why == "slot 0 has been silent since an unknown time"
    gone = only({f"instrument/{A}": instrument(state="DISCONNECTED")} | slots)
    assert gone.why == "slot 0 is without a report"
    assert not rows.is_anyone_there(slots, NOW)
    assert rows.refused_lists({"list/a": {"state": "REFUSED", "reason": odd}}) == {"a": "no reason is given"}


def test_many_waiting_bonds_take_little_time():
    """The time for the rows grows with the bonds, not with their square."""
    waiting = instrument(state="WAITING_CAPACITY", slot=None)
    status = {f"instrument/KR{number:010}": waiting for number in range(20_000)}
    status["slot/0"] = slot(1) | {"capacity": 41}
    assert is_within(2, lambda: rows.to_rows(status, {}, NOW))
    found = rows.to_rows(status, {}, NOW)
    assert {row.why for row in found} == {"no room: the live slots hold 41 bonds"}


def test_refused_lists():
    """Lists whose latest record was refused are returned with the reason."""
    status = {
        "list/a": {"state": "ACCEPTED", "reason": None},
        "list/b": {"state": "REFUSED", "reason": "removal guard"},
        "slot/0": {"state": "REFUSED"},
    }
    assert rows.refused_lists(status) == {"b": "removal guard"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, False),
        ({"state": "ACCEPTED", "control": {"offset": 9}}, False),
        ({"state": "REFUSED", "control": {"offset": 6}}, False),
        ({"state": "REFUSED", "control": {"offset": 7}}, True),
        ({"state": "REFUSED", "control": None}, False),
    ],
)
def test_refusal_of_an_offset(record, expected):
    """A refusal counts only if it reflects our record or a later one."""
    assert rows.is_refusal_of(record, 7) is expected


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"state": "WAITING_CAPACITY", "slot": None}, "no room: the live slots hold 41 bonds"),
        ({"state": "WAITING_CAPACITY", "slot": None, "code": "OPSP0008"}, "OPSP0008"),
        ({"state": "PENDING"}, "KIS has not confirmed it yet"),
        ({"state": "DISCONNECTED"}, "slot 0 is CONNECTING"),
        ({"state": "DISCONNECTED", "slot": 5}, "slot 5 is without a report"),
        ({"state": "ACTIVE"}, ""),
    ],
)
def test_a_reason_is_given_where_kis_gave_none(fields, why):
    """Each state but ACTIVE says what the bond waits for; silent slots give no room."""
    slots = {
        "slot/0": slot(1) | {"state": "CONNECTING", "capacity": 41},
        "slot/1": slot(200) | {"capacity": 41},
        "slot/2": slot(1) | {"state": "BLOCKED", "capacity": None},
    }
    assert only({f"instrument/{A}": instrument(**fields)} | slots).why == why
