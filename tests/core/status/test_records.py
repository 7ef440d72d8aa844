import json
from collections import defaultdict
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.core import status
from connector.core.bonds import isin
from connector.core.kis.bond_registration import RegistrationView
from connector.core.kis.slot_view import SlotView
from connector.core.lists.subscription import ControlRecord, Lists, Position
from tests.core.lists.at_once import apply_all
from tests.published import STATUS, strict

BONDS = [isin.with_check_digit(f"KR{number:09}") for number in range(3)]
A, B, C = BONDS
T0, T1, T2 = "2026-01-02T00:00:00Z", "2026-01-02T00:00:29Z", "2026-01-02T00:00:30Z"
ACTIVE = RegistrationView("ACTIVE", "OPSP0000", "SUBSCRIBE SUCCESS")
PENDING = RegistrationView("PENDING", None, None)
REJECTED = RegistrationView("REJECTED", "OPSP8992", "invalid tr_key")
WAITING = RegistrationView("WAITING_CAPACITY", "OPSP0008", "MAX SUBSCRIBE OVER")


def validate(records):
    """Check each record against its kind in the published schema."""
    for key, record in records.items():
        jsonschema.validate(record, strict(f"status_{key.partition('/')[0]}"))


def slot(state="CONNECTED", registrations=None, code=None, message=None):
    """Make the view of slot 0."""
    held = registrations or {}
    return SlotView(0, state, 41, len(held), code, message, held)


def replica(bonds=(A,), placement=None, slots=None, raw=None):
    """Return the view of a replica with one list, desk, at offset 7."""
    lists = apply_all(
        Lists(), [ControlRecord(b"desk", raw or json.dumps({"instruments": list(bonds)}).encode(), Position(0, 7), 1)]
    )
    return status.ReplicaView(
        {A: 0} if placement is None else placement, {0: slot()} if slots is None else slots, lists, "me"
    )


def only(records, key):
    """Check all records against the schema and return one."""
    validate(records)
    return records[key]


def test_an_instrument_record_says_everything():
    """A confirmed bond's record has every field of the contract."""
    records = status.records(replica(slots={0: slot(registrations={A: ACTIVE})}), {}, T0)
    assert only(records, f"instrument/{A}") == {
        "state": "ACTIVE",
        "lists": ["desk"],
        "slot": 0,
        "since": T0,
        "code": "OPSP0000",
        "message": "SUBSCRIBE SUCCESS",
        "control": {"partition": 0, "offset": 7},
        "wanted_since": "1970-01-01T00:00:00.001Z",
    }


STATES = [
    # placement, slot view, expected state, slot and code; the first state that applies counts
    ({}, slot(registrations={A: REJECTED}), "WAITING_CAPACITY", None, None),
    ({}, slot(registrations={A: WAITING}), "WAITING_CAPACITY", None, "OPSP0008"),
    ({A: 0}, slot(registrations={A: WAITING}), "WAITING_CAPACITY", None, "OPSP0008"),
    ({A: 0}, slot("CONNECTING", {A: REJECTED}, "X"), "REJECTED", 0, "OPSP8992"),
    ({A: 0}, slot("CONNECTED", {A: REJECTED}), "REJECTED", 0, "OPSP8992"),
    ({A: 0}, slot("BLOCKED", {A: ACTIVE}, "OPSP8996"), "DISCONNECTED", 0, "OPSP8996"),
    ({A: 0}, slot("CONNECTING", {A: PENDING}), "DISCONNECTED", 0, None),
    ({A: 0}, slot("IDLE"), "DISCONNECTED", 0, None),
    ({A: 1}, slot(registrations={A: PENDING}), "DISCONNECTED", 1, None),
    ({A: 0}, slot(registrations={A: ACTIVE}), "ACTIVE", 0, "OPSP0000"),
    ({A: 0}, slot(registrations={A: RegistrationView("PENDING", "OPSP0007", "m")}), "PENDING", 0, "OPSP0007"),
    ({A: 0}, slot(), "PENDING", 0, None),
]


@pytest.mark.parametrize(("placement", "view", "state", "where", "code"), STATES)
def test_the_first_state_that_applies_counts(placement, view, state, where, code):
    """States apply in the contract's order: no room, refused, no session, confirmed, pending."""
    record = only(status.records(replica(placement=placement, slots={0: view}), {}, T0), f"instrument/{A}")
    assert (record["state"], record["slot"], record["code"]) == (state, where, code)


@pytest.mark.parametrize(
    ("times", "since"),
    [
        (["2026-01-02T09:00:00+09:00", "2026-01-01T23:00:00Z"], "2026-01-01T23:00:00.000Z"),
        (["1970-01-01T00:00:00Z", "2026-01-01T23:00:00Z"], None),  # 0 stands for a time that is lost
        (["9999-12-31T23:59:59-01:00"], None),
    ],
)
def test_a_bond_is_wanted_since_the_earliest_request(times, since):
    """`wanted_since` is the earliest request of the lists that want the bond, or null if lost."""
    values = [json.dumps({"instruments": [A], "requested_at": at}).encode() for at in times]
    written = [ControlRecord(b"%d" % place, value, Position(0, place), 5) for place, value in enumerate(values)]
    view = status.ReplicaView({A: 0}, {0: slot()}, apply_all(Lists(), written), "me")
    assert only(status.records(view, {}, T0), f"instrument/{A}")["wanted_since"] == since


def test_pending_is_renewed_with_the_record_and_when_it_becomes_0():
    """A slot's record says how many frames are undelivered every 30 s, and at once that none is."""
    before = status.records(replace(replica(), pending=5), {}, T0)
    assert only(before, "slot/0")["pending"] == 5
    for at, pending, expected in [(T1, 7, (5, T0)), (T1, 0, (0, T1)), (T2, 7, (7, T2))]:
        record = only(status.records(replace(replica(), pending=pending), before, at), "slot/0")
        assert (record["pending"], record["alive_at"]) == expected
    drained = status.records(replace(replica(), pending=0), {}, T0)
    assert status.records(replace(replica(), pending=7), drained, T1)["slot/0"] is drained["slot/0"]
    assert status.stopped(before, T1, 3)["slot/0"]["pending"] == 3


def test_kis_said_there_was_no_room_stays_said():
    """OPSP0008 stays with a waiting bond after the session forgot it."""
    before = status.records(replica(placement={}, slots={0: slot(registrations={A: WAITING})}), {}, T0)
    after = status.records(replica(placement={}), before, T1)
    assert only(after, f"instrument/{A}") == before[f"instrument/{A}"]


def test_since_moves_only_with_state_slot_or_code():
    """`since` stays while state, slot and code stay, and changes with each of them."""
    before = status.records(replica(), {}, T0)
    assert status.records(replica(), before, T1)[f"instrument/{A}"]["since"] == T0
    for changed in (
        {0: slot(registrations={A: ACTIVE})},
        {0: slot(registrations={A: RegistrationView("PENDING", "OPSP0007", "m")})},
    ):
        assert status.records(replica(slots=changed), before, T1)[f"instrument/{A}"]["since"] == T1
    gone = status.records(replica(slots={}), {}, T0)
    assert status.records(replica(placement={A: 1}, slots={}), gone, T1)[f"instrument/{A}"]["since"] == T1


def test_a_bond_nobody_wants_stays_until_it_was_released():
    """An unwanted bond keeps its record, without a list, while KIS may hold the registration."""
    held = {0: slot(registrations={A: ACTIVE})}
    before = status.records(replica(slots=held), {}, T0)
    leaving = status.records(replica(bonds=(), slots=held), before, T1)
    record = only(leaving, f"instrument/{A}")
    assert (record["state"], record["lists"], record["control"]) == ("ACTIVE", [], {"partition": 0, "offset": 7})
    assert record["wanted_since"] is None
    assert f"instrument/{A}" not in status.records(replica(bonds=()), leaving, T2)


def test_a_list_record_says_what_is_in_force():
    """An accepted list's record has the whole value and its position."""
    record = only(
        status.records(replica(raw=b'{"instruments": ["%b"], "note": null}' % A.encode()), {}, T0), "list/desk"
    )
    at = {"partition": 0, "offset": 7}
    assert record == {
        "state": "ACCEPTED",
        "instruments": 1,
        "reason": None,
        "control": at,
        "in_force": {"value": {"instruments": [A], "note": None}, "control": at},
    }


def test_a_refused_list_counts_what_stays_in_force():
    """A refused list's record has the refused position, the reason, and the content in force."""
    lists = apply_all(replica(bonds=(A, B)).lists, [ControlRecord(b"desk", b"bad", Position(0, 8), 0)])
    record = only(status.records(status.ReplicaView({}, {}, lists, "me"), {}, T0), "list/desk")
    assert (
        record["state"],
        record["instruments"],
        record["control"]["offset"],
        record["in_force"]["control"]["offset"],
    ) == (
        "REFUSED",
        2,
        8,
        7,
    )
    assert "not JSON" in record["reason"]


def test_a_list_that_was_never_good_has_nothing_in_force():
    """Without accepted content, in_force is null and the count is 0."""
    record = only(status.records(replica(raw=b"bad"), {}, T0), "list/desk")
    assert (record["state"], record["instruments"], record["in_force"]) == ("REFUSED", 0, None)


def test_a_slot_record_moves_its_heartbeat_every_thirty_seconds():
    """alive_at changes after 30 s and with any other change."""
    before = status.records(replica(), {}, T0)
    assert only(before, "slot/0") == {
        "state": "CONNECTED",
        "owner": "me",
        "capacity": 41,
        "registered": 0,
        "since": T0,
        "alive_at": T0,
        "code": None,
        "message": None,
        "pending": 0,
    }
    assert status.records(replica(), before, T1) == before
    assert status.records(replica(), before, T2)["slot/0"] == before["slot/0"] | {"alive_at": T2}
    changed = status.records(replica(slots={0: slot(registrations={A: ACTIVE})}), before, T1)["slot/0"]
    assert (changed["registered"], changed["since"], changed["alive_at"]) == (1, T0, T1)


def test_a_new_owner_is_a_change():
    """A slot's since changes with its owner."""
    before = status.records(replica(), {}, T0)
    before["slot/0"]["owner"] = "other"
    assert status.records(replica(), before, T1)["slot/0"]["since"] == T1


def test_nothing_is_active_at_start():
    """At start an ACTIVE record becomes PENDING until KIS confirms; other records stay."""
    before = status.records(replica(bonds=(A, B), placement={A: 0}, slots={0: slot(registrations={A: ACTIVE})}), {}, T0)
    assert status.unconfirmed(before, {1}, T1) == before, "another replica's bond may well be active"
    after = status.unconfirmed(before, {0}, T1)
    validate(after)
    assert (after[f"instrument/{A}"]["state"], after[f"instrument/{A}"]["since"], after[f"instrument/{A}"]["code"]) == (
        "PENDING",
        T1,
        None,
    )
    assert {key: record for key, record in after.items() if key != f"instrument/{A}"} == {
        key: record for key, record in before.items() if key != f"instrument/{A}"
    }


def test_a_clean_stop_leaves_no_owner():
    """The last records are IDLE without an owner and DISCONNECTED; waiting bonds and lists stay."""
    before = status.records(replica(bonds=(A, B), placement={A: 0}, slots={0: slot(registrations={A: ACTIVE})}), {}, T0)
    after = status.stopped(before, T1)
    validate(after)
    assert (after["slot/0"]["state"], after["slot/0"]["owner"], after["slot/0"]["registered"]) == ("IDLE", None, 0)
    assert (after[f"instrument/{A}"]["state"], after[f"instrument/{A}"]["slot"]) == ("DISCONNECTED", 0)
    assert after[f"instrument/{B}"] == before[f"instrument/{B}"]
    assert after["list/desk"] == before["list/desk"]


def test_a_record_that_is_not_too_deep():
    """Foreign fields within 16 levels are kept; deeper ones could not be shown again."""
    found = status.decode(b'{"a":' * 16 + b"5" + b"}" * 16)
    assert str(found).count("a") == 16


def test_foreign_text_is_encoded_whatever_it_is():
    """Korean text stays readable, and half a surrogate pair survives encoding."""
    assert "국고".encode() in status.encode({"note": "국고"})
    assert status.decode(status.encode({"note": "\ud800"})) == {"note": "\ud800"}


@given(st.binary(max_size=50))
def test_decoding_never_raises(value):
    """Bytes that hold no record give None."""
    record = status.decode(value)
    assert record is None or isinstance(record, dict)


@pytest.mark.parametrize(
    "value", [b"[" * 100_000, b"[]", b"5", b"\xff", b'{"a":' * 17 + b"5" + b"}" * 17, b'{"a": [1e400]}', b'{"a": NaN}']
)
def test_what_is_no_record_is_none(value):
    """Deep nesting, other JSON and other bytes hold no record."""
    assert status.decode(value) is None


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["state", "since", "alive_at", "slot", "code"]), inner)
    ),
    max_leaves=6,
)


FOREIGN = st.dictionaries(
    st.sampled_from([f"instrument/{A}", "slot/0", "list/desk", f"instrument/{B}"]),
    st.dictionaries(st.sampled_from(["state", "since", "alive_at", "slot", "code", "owner", "capacity"]), JSON),
)


@given(FOREIGN)
def test_foreign_previous_records_do_no_harm(previous):
    """Foreign records under our keys raise nothing and are replaced by the next records."""
    records = status.records(replica(), previous, T0)
    assert set(records) == {f"instrument/{A}", "slot/0", "list/desk"}
    assert records["slot/0"]["state"] == "CONNECTED"


def shared(owned, others, placed, before=None):
    """Return the view of a replica that owns some slots, and its next records."""
    slots = {number: SlotView(number, "CONNECTED", 41, 1, None, None, {A: ACTIVE}) for number in owned}
    made = replace(replica(placement=placed, slots=slots), others=frozenset(others))
    return made, status.records(made, before or {}, T0)


@given(FOREIGN, st.sampled_from([([1], [0]), ([0], [1]), ([], [0, 1])]), st.sampled_from([{}, {A: 0}, {A: 1}]))
@example({f"instrument/{A}": {"state": []}}, ([1], [0]), {A: 0})
def test_foreign_records_stop_no_replica(previous, slots, placed):
    """Whatever a record of a bond or a slot holds, each replica reads it and makes its own."""
    owned, others = slots
    made, records = shared(owned, others, placed, previous)
    assert {f"slot/{slot}" for slot in owned} <= records.keys()
    for key, record in previous.items():
        assert status.is_ours(made, key, record) in {True, False}
    status.records(made, records, T0, previous)
    status.unconfirmed(previous, owned, T0)
    status.places(previous, {0: 41, 1: 41})
    status.known_limits({0: 41}, {1: 41}, previous, ())
    status.asked_anew(previous, [A], made.slots)
    status.unowned(previous, [A], others)


def test_the_owner_of_a_slot_writes_it_and_its_bonds():
    """The owner of slot 1 leaves the lists to the owner of slot 0."""
    made, records = shared([1], [0], {A: 1})
    assert set(records) == {f"instrument/{A}", "slot/1"}
    assert all(status.is_ours(made, key, record) for key, record in records.items())


def test_the_owner_of_slot_0_writes_lists_and_what_has_no_slot():
    """Slot 0's owner writes lists and waiting bonds, but no bond of another replica's slot."""
    _, records = shared([0], [1], {})
    assert set(records) == {f"instrument/{A}", "list/desk", "slot/0"}
    assert records[f"instrument/{A}"]["state"] == "WAITING_CAPACITY"
    assert set(status.records(moving(), {}, T0)) == {"list/desk", "slot/0"}


def test_what_others_write_is_repeated_as_it_was():
    """Records of other replicas are repeated and not tombstoned."""
    theirs = {
        f"instrument/{A}": {"state": "ACTIVE", "slot": 1},
        "slot/1": {"owner": "other"},
        f"instrument/{B}": {"slot": 1},
    }
    made, records = shared([0], [1], {A: 1}, theirs)
    assert {key: records[key] for key in theirs} == theirs
    assert not any(status.is_ours(made, key, record) for key, record in theirs.items())


def test_a_standby_writes_nothing():
    """A replica without a slot writes no record."""
    made, records = shared([], [0, 1], {A: 1})
    assert records == {}
    assert not any(
        status.is_ours(made, key, {"slot": []})
        for key in (f"instrument/{B}", "list/desk", "slot/0", "slot/x", "slot/9")
    )


def test_leftovers_are_the_owner_of_slot_0s():
    """The owner of slot 0 writes the records that belong to no usable slot."""
    made, _ = shared([0], [1], {})
    for key, before in (
        ("slot/7", {}),
        ("slot/x", {}),
        ("slot/" + 5000 * "1", {}),
        ("slot/٠", {}),
        (f"instrument/{B}", {"slot": 7}),
        (f"instrument/{B}", {"slot": True}),
        ("list/x", {}),
    ):
        assert status.is_ours(made, key, before)


@pytest.mark.parametrize(
    ("bond", "expected"),
    [
        ({"state": "ACTIVE", "slot": 1}, True),
        ({"state": "PENDING", "slot": 1}, False),
        ({"state": "ACTIVE", "slot": 2}, False),
        ({}, False),
    ],
)
def test_a_bond_is_active_where_its_record_says(bond, expected):
    """A bond is active on the slot that its record names, once KIS confirmed it there."""
    assert status.is_active({f"instrument/{A}": bond}, A, 1) is expected
    assert not status.is_active({}, A, 1)


@pytest.mark.parametrize(("found", "expected"), [(3, 3), (0, 0), (-1, None), (True, None), ("3", None), (None, None)])
def test_a_slots_capacity_is_read_from_its_record(found, expected):
    """A foreign record gives no capacity."""
    assert status.capacity({"slot/1": {"capacity": found}}, 1) == expected
    assert status.capacity({}, 1) is None


def every_record():
    """Yield records of every kind in every state."""
    for placement, view, *_ in STATES:
        made = status.records(replica(placement=placement, slots={0: view}), {}, T0)
        yield from made.items()
        yield from status.stopped(made, T1).items()
        yield from status.records(replica(bonds=(), slots={0: view}), made, T1).items()
    yield from status.records(replica(raw=b"bad"), {}, T0).items()
    lists = apply_all(replica().lists, [ControlRecord(b"desk", b"bad", Position(0, 8), 0)])
    yield from status.records(status.ReplicaView({A: 0}, {0: slot(code="C", message="m")}, lists, "me"), {}, T0).items()


def test_every_state_and_every_null_of_the_schema_occurs():
    """The published schema allows exactly the states and nulls that the connector writes."""
    seen = {"instrument": defaultdict(set), "list": defaultdict(set), "slot": defaultdict(set)}
    for key, record in every_record():
        validate({key: record})
        for field, content in record.items():
            seen[key.partition("/")[0]][field].add(content if field == "state" else content is None)
    for kind, fields in seen.items():
        published = strict(f"status_{kind}")["properties"]
        assert fields["state"] == set(published["state"]["enum"])
        nullable = {
            name
            for name, rule in published.items()
            if "null" in rule.get("type", ()) or {"type": "null"} in rule.get("anyOf", ())
        }
        # An instrument's control may be null by the schema, but each wish has a record so far.
        assert {name for name, nulls in fields.items() if nulls == {True, False}} == nullable - (
            {"control"} if kind == "instrument" else set()
        )


@pytest.mark.parametrize("key", [f"instrument/{A}", "list/desk", "slot/0"])
def test_the_schema_refuses_what_the_contract_does(key):
    """A record with a field missing, an extra field or another state does not fit the schema."""
    record = status.records(replica(), {}, T0)[key]
    wrong = [{name: content for name, content in record.items() if name != left_out} for left_out in record]
    for each in [*wrong, record | {"more": 1}, record | {"state": "active"}]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(each, STATUS)


LIMITS = dict.fromkeys(range(6), 41)
FOREIGN = {
    "state": st.sampled_from(["BLOCKED", "REJECTED", "ACTIVE"]) | JSON,
    "code": st.sampled_from(["EGW00103", "OPSP8996"]) | JSON,
    "capacity": st.integers(-1, 99) | JSON,
    "alive_at": st.just(T0) | JSON,
    "slot": st.integers(-1, 2) | JSON,
}


def test_places_are_read_in_the_records():
    """A slot counts its capacity, without a record its limit, and nothing while it is silent."""
    records = {
        "slot/0": {"capacity": 3},
        "slot/1": {"capacity": 0, "state": "BLOCKED", "code": "OPSP8996"},
        "slot/2": {"capacity": 0, "state": "BLOCKED", "code": "EGW00103"},
        "slot/3": {"capacity": 99},
        "slot/4": {"capacity": 7},
        "instrument/x": {"state": "REJECTED", "slot": 1},
        "instrument/y": {"state": "REJECTED", "slot": [0]},
        "instrument/z": {"state": "ACTIVE", "slot": 0},
        "instrument/gone": {"state": "REJECTED", "slot": 6},
    }
    places = status.places(records, LIMITS, silent={2, 4, 5})
    assert places == ({0: 3, 3: 41, 5: 41}, {1: 41, 4: 7}, {"x": 1})


@example({"slot/0": {"state": "BLOCKED", "code": [], "capacity": 0}})
@given(
    st.dictionaries(st.sampled_from(["slot/0", "slot/1", "instrument/x"]), st.fixed_dictionaries({}, optional=FOREIGN))
)
def test_foreign_records_give_no_slot_more_room_than_its_limit(records):
    """Whatever anyone has written, every slot has room, unless a record says that KIS bars it."""
    counted, spare, refused = status.places(records, {0: 41, 1: 2}, silent={1})
    assert all(0 < room <= 41 for room in (counted | spare).values())
    assert {slot for slot in (0, 1) if slot not in counted | spare} <= {
        slot for slot in (0, 1) if records.get(f"slot/{slot}", {}).get("state") == "BLOCKED"
    }
    assert set(refused.values()) <= {0, 1}


def test_a_refusal_stands_until_kis_answers_or_a_list_asks_anew():
    """A session that has not asked yet or was full changes nothing; KIS's answer or a list does."""
    refused = status.records(replica(slots={0: slot(registrations={A: REJECTED})}), {}, T0)
    assert refused[f"instrument/{A}"]["state"] == "REJECTED"
    again = status.records(replica(slots={0: slot(registrations={A: PENDING})}), refused, T1)
    assert again == refused
    waits = status.records(replica(slots={0: slot(registrations={A: WAITING})}), refused, T1)
    assert waits == refused
    for view, state in [
        (RegistrationView("PENDING", "OPSP0009", "m"), "PENDING"),
        (RegistrationView("WAITING_CAPACITY", "OPSP0009", "m"), "WAITING_CAPACITY"),
        (RegistrationView("REJECTED", "OPSP0009", "m"), "REJECTED"),
    ]:
        judged = status.records(replica(slots={0: slot(registrations={A: view})}), refused, T1)
        assert (judged[f"instrument/{A}"]["state"], judged[f"instrument/{A}"]["code"]) == (state, "OPSP0009")
    active = status.records(replica(slots={0: slot(registrations={A: ACTIVE})}), refused, T1)
    assert active[f"instrument/{A}"]["state"] == "ACTIVE"
    anew = status.asked_anew(refused, [A, B], {0: slot(registrations={A: PENDING})})
    asked = status.records(replica(slots={0: slot(registrations={A: PENDING})}), anew, T1)
    assert (asked[f"instrument/{A}"]["state"], asked[f"instrument/{A}"]["code"]) == ("PENDING", None)
    for waits_longer_or_is_elsewhere in ({0: slot(registrations={A: REJECTED})}, {1: slot()}):
        assert status.asked_anew(refused, [A], waits_longer_or_is_elsewhere) == refused


def moving(active=(), at=None, others=(1,), alive=(1,)):
    """Return the view of the owner of slot 0, from which A moves to slot 1."""
    held = dict.fromkeys(active, ACTIVE)
    seen = replica(placement={A: 1}, slots={0: slot(registrations=held)} if at is None else at)
    return replace(seen, others=frozenset(others), alive=frozenset(alive))


@pytest.mark.parametrize(
    ("state", "registrations"), [("CONNECTING", {}), ("CONNECTED", {A: REJECTED}), ("BLOCKED", {A: PENDING})]
)
def test_a_bond_on_its_way_is_active_while_its_old_session_brings_ticks(state, registrations):
    """Whatever the new slot says, the record names the slot that the ticks come from."""
    slots = {0: slot(registrations={A: ACTIVE}), 1: replace(slot(state, registrations), slot=1)}
    record = status.records(moving(at=slots, others=()), {}, T0)[f"instrument/{A}"]
    assert (record["state"], record["slot"]) == ("ACTIVE", 0)
    slots[1] = replace(slot(registrations={A: ACTIVE}), slot=1)
    record = status.records(moving(at=slots, others=()), {}, T0)[f"instrument/{A}"]
    assert (record["state"], record["slot"]) == ("ACTIVE", 1)


def test_the_record_of_a_bond_on_its_way_passes_from_owner_to_owner():
    """The old slot's owner writes it until the bond is active on the new slot or left the old."""
    key, on_0 = f"instrument/{A}", {"state": "ACTIVE", "slot": 0}
    old, new = moving([A]), moving(at={1: replace(slot("CONNECTING"), slot=1)}, others=[0], alive=[0])
    arrived = moving(at={1: replace(slot(registrations={A: ACTIVE}), slot=1)}, others=[0], alive=[0])
    assert [status.is_ours(each, key, on_0) for each in (old, new, arrived)] == [True, False, True]
    assert status.is_ours(replace(new, alive=frozenset()), key, on_0), "the old owner is gone"
    assert [status.is_ours(each, key, {"state": "ACTIVE", "slot": 1}) for each in (old, new)] == [False, True]
    left = status.records(moving(), {key: on_0}, T0)[key]
    assert (left["state"], left["slot"]) == ("PENDING", 1)


def test_the_record_of_a_refused_bond_belongs_to_the_slot_that_it_names():
    """Where a replica places the bond does not matter: its own refusal may be older."""
    key, on_0 = f"instrument/{A}", {"state": "REJECTED", "slot": 0}
    old, new = moving(), moving(at={1: replace(slot("CONNECTING"), slot=1)}, others=[0], alive=[0])
    assert [status.is_ours(each, key, on_0) for each in (old, new)] == [True, False]
    assert status.is_ours(replace(new, alive=frozenset()), key, on_0), "the old owner is gone"
    assert status.records(new, {key: {"state": "REJECTED", "slot": 1}}, T0, {key: on_0})[key] == on_0


def test_the_record_of_a_bond_on_its_way_stays_its_owners_in_a_topic_that_was_made_anew():
    """KIS refused the bond here, but the record that the topic lacks shows its ticks."""
    here = moving(at={1: replace(slot(registrations={A: REJECTED}), slot=1)}, others=[0], alive=[0])
    known = {f"instrument/{A}": {"state": "ACTIVE", "slot": 0}}
    assert status.records(here, known, T0, {})[f"instrument/{A}"] == known[f"instrument/{A}"]


@pytest.mark.parametrize("state", ["REJECTED", "DISCONNECTED", "PENDING"])
def test_whoever_brings_the_ticks_of_a_placed_bond_corrects_a_record_without_ticks(state):
    """Out of contact, its session went on while another replica wrote about the bond's new slot."""
    key, on_1 = f"instrument/{A}", {"state": state, "slot": 1}
    assert [status.is_ours(moving(active), key, on_1) for active in ([A], [])] == [True, False]
    record = status.records(moving([A]), {key: on_1}, T0)[key]
    assert (record["state"], record["slot"]) == ("ACTIVE", 0)
    unplaced = replace(moving([A]), placement={})
    assert not status.is_ours(unplaced, key, on_1)
