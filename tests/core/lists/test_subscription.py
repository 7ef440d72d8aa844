import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.bonds import isin
from connector.core.lists import control_record, saved_lists, subscription
from connector.core.lists.subscription import ControlRecord, Lists, Position
from tests.core.lists.at_once import apply, apply_all, desired, from_entries, from_status, restore, to_text
from tests.cpu_time import is_within

BONDS = [isin.with_check_digit(f"KR{number:09}") for number in range(200)]
A, B, C = BONDS[:3]


def record(offset, name, value, timestamp_ms=None):
    """Make a control record; a dict or list of bonds becomes JSON, bytes and None stay."""
    if isinstance(value, list):
        value = {"instruments": value}
    content = json.dumps(value).encode() if isinstance(value, dict) else value
    return ControlRecord(name.encode(), content, Position(0, offset), offset if timestamp_ms is None else timestamp_ms)


def lists_of(*records):
    """Return the lists after these records."""
    return apply_all(Lists(), records)


def wanted(lists):
    """Return the desired ISINs in order."""
    return [bond.isin for bond in desired(lists)]


def test_desired_is_the_union_of_all_lists():
    """A bond in two lists is desired once, with the higher priority and the earlier request."""
    lists = lists_of(
        record(0, "b", {"instruments": [A], "priority": 3, "requested_at": "1970-01-01T00:00:09Z"}),
        record(1, "a", {"instruments": [A, B], "priority": 7, "requested_at": "1970-01-01T00:00:10Z"}),
    )
    first, second = desired(lists)
    assert first == subscription.Desired(A, 7, 9_000_000, ("a", "b"), Position(0, 1))
    assert second == subscription.Desired(B, 7, 10_000_000, ("a",), Position(0, 1))


def test_desired_is_ordered_by_priority_then_time_then_isin():
    """Bonds are ordered by priority, time of the request (or else of the record) and ISIN."""
    lists = lists_of(
        record(0, "late", {"instruments": [B, A]}, timestamp_ms=9_000),
        record(1, "early", {"instruments": [C], "requested_at": "1970-01-01T00:00:08Z"}),
        record(2, "high", {"instruments": [BONDS[9]], "priority": 6}, timestamp_ms=99_000),
    )
    assert wanted(lists) == [BONDS[9], C, A, B]


def test_a_paused_list_wants_nothing():
    """A paused list wants no bond, but its record may be the latest one that names a bond."""
    lists = lists_of(record(0, "a", [A]), record(1, "b", {"instruments": [A, B], "paused": True, "priority": 9}))
    assert desired(lists) == [subscription.Desired(A, 5, 0, ("a",), Position(0, 1))]


def test_a_tombstone_removes_a_list():
    """A tombstone removes a list; a tombstone for an unknown list changes nothing."""
    lists = apply(lists_of(record(0, "a", [A]), record(1, "b", [B])), record(2, "a", None))
    assert wanted(lists) == [B]
    assert set(lists.entries) == {"b"}
    assert apply(lists, record(3, "zz", None)) == lists


def test_a_refused_record_leaves_the_last_good_content():
    """A bad record is refused and the list keeps its content, until a good record replaces both."""
    lists = apply(lists_of(record(0, "a", [A])), record(1, "a", [B, "bad"]))
    assert wanted(lists) == [A]
    assert lists.entries["a"].control == Position(0, 1)
    assert lists.entries["a"].in_force.control == Position(0, 0)
    assert "instruments[1]" in lists.entries["a"].refusal
    lists = apply(lists, record(2, "a", [B]))
    assert wanted(lists) == [B]
    assert lists.entries["a"].refusal is None


def test_a_first_record_that_is_refused_leaves_an_empty_list():
    """A list whose first record is refused is known and empty."""
    lists = lists_of(record(0, "a", b""))
    assert wanted(lists) == []
    assert lists.entries["a"].in_force is None
    assert "zero length" in lists.entries["a"].refusal


@pytest.mark.parametrize("key", [None, b"\xff", b"x" * 1001, "가".encode() * 1001, b"x" * 1_000_000])
def test_a_key_that_names_no_list_changes_nothing(key):
    """A record with a missing, non-UTF-8 or very long key is ignored."""
    before = lists_of(record(0, "a", [A]))
    assert apply(before, ControlRecord(key, b'{"instruments": []}', Position(0, 1), 0)) == before
    assert restore(before, [ControlRecord(key, b"{}", Position(0, 1), 0), record(0, "a", [A])]) == before


@pytest.mark.parametrize("letter", ["x", "가", "😀"])
def test_a_key_of_a_thousand_characters_names_a_list(letter):
    """The limit of a key counts characters, not bytes; up to it a too long name is refused."""
    lists = lists_of(record(0, letter * 1000, {}), record(1, letter * 1001, {}))
    assert list(lists.entries) == [letter * 1000]
    assert "1000 characters" in lists.entries[letter * 1000].refusal


def test_a_saved_list_with_a_very_long_name_is_removed():
    """A refused list with a very long name, from an earlier version, goes with the next reading."""
    name = "x" * 1001
    before = from_entries({name: subscription.Entry(None, Position(0, 0), "too long")})
    assert restore(before, [record(0, name, {})]).entries == {}


GUARD = [
    # desired before, kept by the new record, held back?
    (20, 9, True),
    (20, 10, False),  # exactly half
    (19, 9, True),
    (10, 0, True),
    (9, 0, False),  # fewer than ten
    (18, 8, True),
    (18, 9, False),
]


@pytest.mark.parametrize(("before", "kept", "is_held"), GUARD)
def test_the_removal_guard_holds_back_a_mass_removal(before, kept, is_held):
    """A record that drops over half of the desired bonds and at least ten is held back."""
    lists = apply(lists_of(record(0, "a", BONDS[:before])), record(1, "a", BONDS[:kept]))
    assert len(wanted(lists)) == (before if is_held else kept)
    reason = lists.entries["a"].refusal
    assert (reason or "").startswith("removal guard") is is_held
    if is_held:
        assert f"left {kept} of {before}" in reason


@pytest.mark.parametrize("value", [None, {"instruments": BONDS[:20], "paused": True}, {"instruments": BONDS[20:29]}])
def test_the_guard_counts_what_leaves_the_desired_set(value):
    """A tombstone, a pause and a swap for fewer bonds count as drops, like an empty list."""
    lists = apply(lists_of(record(0, "a", BONDS[:20])), record(1, "a", value))
    assert wanted(lists) == BONDS[:20]
    assert lists.entries["a"].refusal.startswith("removal guard")
    assert lists.entries["a"].control == Position(0, 1)


def test_a_swap_for_as_many_bonds_is_no_removal():
    """What counts is how many bonds are desired, so a list may change all its bonds."""
    lists = apply(lists_of(record(0, "a", BONDS[:20])), record(1, "a", BONDS[20:40]))
    assert wanted(lists) == BONDS[20:40]


def test_bonds_another_list_wants_do_not_count_as_dropped():
    """Emptying a list drops no bond that another list wants; a paused list wants nothing."""
    both = lists_of(record(0, "a", BONDS[:20]), record(1, "b", BONDS[:20]))
    assert apply(both, record(2, "a", [])).entries["a"].refusal is None
    paused = apply(both, record(2, "b", {"instruments": BONDS[:20], "paused": True}))
    assert apply(paused, record(3, "a", [])).entries["a"].refusal.startswith("removal guard")


def test_the_same_value_with_confirm_removal_is_let_through():
    """A held-back record passes with confirm_removal, and then the tombstone drops nothing."""
    lists = apply_all(
        lists_of(record(0, "a", BONDS[:20])),
        [record(1, "a", []), record(2, "a", {"instruments": [], "confirm_removal": True})],
    )
    assert wanted(lists) == []
    assert lists.entries["a"].refusal is None
    assert apply(lists, record(3, "a", None)).entries == {}


def test_many_small_removals_are_judged_together():
    """Tombstones of single bonds pass until half of the bonds are left, and no further."""
    lists = lists_of(*(record(place, bond, {}) for place, bond in enumerate(BONDS[:20])))
    assert wanted(lists) == BONDS[:20]
    after = apply_all(lists, [record(100 + place, bond, None) for place, bond in enumerate(BONDS[:20])])
    assert wanted(after) == BONDS[10:20]
    assert all(entry.refusal.startswith("removal guard") for entry in after.entries.values())


def test_a_confirmed_removal_does_not_hold_up_another_desk():
    """After one desk's confirmed removal, another desk's small removal passes at once."""
    lists = lists_of(record(0, "a", BONDS[:100]), record(1, "b", BONDS[100:120]))
    emptied = record(2, "a", {"instruments": [], "confirm_removal": True})
    assert wanted(apply_all(lists, [emptied, record(3, "b", BONDS[100:112])])) == BONDS[100:112]


# A complete reading, judged against what was in force before it.


def test_a_first_reading_without_a_past_takes_the_latest_records():
    """With nothing in force before, the guard holds nothing back, with or without the history."""
    history = [record(0, "a", BONDS[:20]), record(1, "a", [])]
    assert wanted(restore(Lists(), history)) == wanted(restore(Lists(), history[1:])) == []


def test_a_refused_latest_record_takes_the_content_from_before():
    """If compaction left only the refused record, the list keeps the content in force before."""
    before = lists_of(record(0, "a", [A]), record(1, "a", b"bad"))
    after = restore(before, [record(1, "a", b"bad")])
    assert after == before
    after = restore(lists_of(record(0, "a", [A])), [record(7, "a", b"bad")])
    assert wanted(after) == [A]
    assert after.entries["a"].control == Position(0, 7)


def test_a_refused_latest_record_takes_the_last_good_one_still_there():
    """If the topic still has a good record after the one in force, that record counts."""
    assert wanted(restore(lists_of(record(0, "a", [A])), [record(1, "a", [B]), record(2, "a", b"bad")])) == [B]


def test_what_was_held_back_stays_held_back():
    """A complete reading does not release a held-back record, even if its drop is small by now."""
    before = lists_of(record(0, "a", BONDS[:20]), record(1, "a", []), record(2, "b", BONDS[20:100]))
    after = restore(before, [record(1, "a", []), record(2, "b", BONDS[20:100])])
    assert after == before
    assert len(wanted(after)) == 100


def test_a_held_back_tombstone_stays_held_back_when_it_is_compacted_away():
    """A list whose tombstone was held back stays, even if the topic has no record of it."""
    before = lists_of(record(0, "a", BONDS[:20]), record(1, "a", None), record(2, "b", BONDS[20:100]))
    assert restore(before, [record(2, "b", BONDS[20:100])]) == before


def test_a_wiped_topic_is_held_back():
    """All absent lists are judged as one removal, so a wiped topic drops nothing."""
    before = lists_of(*(record(place, bond, {}) for place, bond in enumerate(BONDS[:20])))
    after = restore(before, [])
    assert wanted(after) == BONDS[:20]
    assert all(entry.refusal.startswith("removal guard") for entry in after.entries.values())
    assert restore(after, []) == after


def test_a_few_missing_lists_are_removed():
    """Lists that are absent from the topic are removed if they are too few for the guard."""
    before = lists_of(*(record(place, bond, {}) for place, bond in enumerate(BONDS[:20])))
    assert wanted(restore(before, [record(place, bond, {}) for place, bond in enumerate(BONDS[:10])])) == BONDS[:10]


def test_what_moved_to_another_list_is_not_missing():
    """Removing an absent list drops no bond that a newer list wants."""
    before = lists_of(record(0, "a", BONDS[:20]))
    after = restore(before, [record(5, "b", BONDS[:20])])
    assert wanted(after) == BONDS[:20]
    assert set(after.entries) == {"b"}


def test_a_change_made_meanwhile_is_judged_like_any_record():
    """Records written while no connector ran are guarded against the content in force before."""
    before = lists_of(record(0, "a", BONDS[:20]))
    assert wanted(restore(before, [record(3, "a", BONDS[:12])])) == BONDS[:12]
    assert wanted(restore(before, [record(3, "a", BONDS[:5])])) == BONDS[:20]
    assert wanted(restore(before, [record(2, "a", BONDS[:15]), record(3, "a", BONDS[:5])])) == BONDS[:20]


def test_a_confirmation_still_in_the_topic_counts():
    """A confirmed empty list and its tombstone remove a list, also while no connector ran."""
    before = lists_of(record(0, "a", BONDS[:20]))
    confirmed = record(1, "a", {"instruments": [], "confirm_removal": True})
    assert restore(before, [confirmed, record(2, "a", None)]).entries == {}
    assert wanted(restore(before, [confirmed])) == []


def test_a_topic_that_was_created_again_is_judged_from_its_beginning():
    """Every record is new if positions went back or the record judged last has changed."""
    before = lists_of(record(50, "a", [A]))
    assert wanted(restore(before, [record(3, "a", [B])])) == [B]
    assert wanted(restore(before, [record(50, "a", [C])])) == [C]


def test_the_time_of_a_request_is_taken_from_its_record():
    """A request without a time gets its record's time again if the topic still has the record."""
    before = lists_of(record(0, "a", [A], timestamp_ms=77))
    forgotten = from_status(
        {
            "list/a": json.loads(to_text(before))["a"]
            | {"in_force": {"value": {"instruments": [A]}, "control": {"partition": 0, "offset": 0}}}
        },
        None,
    )
    assert desired(forgotten)[0].requested_at == 0
    assert restore(forgotten, [record(0, "a", [A], timestamp_ms=77)]) == before


# Properties in a world of three bonds and three lists, too small for the guard.

VALUES = st.none() | st.builds(
    lambda bonds, priority, paused: {"instruments": bonds, "priority": priority, "paused": paused},
    st.lists(st.sampled_from([A, B, C]), max_size=3),
    st.integers(4, 6),
    st.booleans(),
)
LOGS = st.lists(st.tuples(st.sampled_from(["x", "y", A]), VALUES), max_size=12).map(
    lambda writes: [record(offset, name, value) for offset, (name, value) in enumerate(writes)]
)


def compacted(log, keep_tombstones):
    """Return what compaction leaves: the latest record of each key, or also no tombstones."""
    latest = {each.key: each for each in log}
    return [each for each in log if latest[each.key] is each and (keep_tombstones or each.value is not None)]


def without_repeats(log):
    """Drop records that ask again for what an earlier one of their list asked for."""
    seen = {}
    for each in log:
        wish = control_record.parse(each.key.decode(), each.value or b"")
        asked = each.position if isinstance(wish, control_record.Refusal) else wish.asks_for
        seen.setdefault((each.key, asked), each)
    return list(seen.values())


@given(LOGS.map(without_repeats), st.booleans(), st.data())
def test_compaction_changes_nothing(log, keep_tombstones, data):
    """A log, its compacted form, and any split by a restart give the same lists."""
    whole = apply_all(Lists(), log)
    assert restore(Lists(), log) == whole
    assert apply_all(Lists(), compacted(log, keep_tombstones)) == whole
    cut = data.draw(st.integers(0, len(log)))
    before = apply_all(Lists(), log[:cut])
    assert restore(before, log) == whole
    assert restore(before, compacted(log, keep_tombstones)) == whole
    assert desired(whole) == desired(from_entries(whole.entries))


def test_writing_a_list_again_keeps_its_place():
    """A list that asks for the same again keeps the time of its first record, whatever its note."""
    lists = lists_of(record(0, "a", {"instruments": [A, B]}), record(1, "b", [C]))
    for offset, value in enumerate(({"instruments": [A, B]}, {"instruments": [B, A, A], "note": "again"}), start=2):
        again = apply(lists, record(offset, "a", value))
        assert wanted(again) == wanted(lists)
        assert again.entries["a"].in_force.requested_at == lists.entries["a"].in_force.requested_at
        assert again.entries["a"].in_force.control == Position(0, offset)
        lists = apply(again, record(offset + 10, "a", b"bad"))
    for value in (
        {"instruments": [A]},
        {"instruments": [A, B], "paused": True},
        {"instruments": [A, B], "priority": 6},
    ):
        assert apply(lists, record(30, "a", value)).entries["a"].in_force.requested_at == 30_000
    timed = apply(lists, record(30, "a", {"instruments": [A, B], "requested_at": "1970-01-01T00:00:09Z"}))
    assert timed.entries["a"].in_force.requested_at == 9_000_000
    assert apply(timed, record(31, "a", [A, B])).entries["a"].in_force.requested_at == 31_000


MOST = 20_000
ISINS = [isin.with_check_digit(f"KR{number:09}") for number in range(MOST + 2)]
FULL = lists_of(record(0, "a", ISINS[:10_000]), record(1, "b", ISINS[10_000:MOST]))


def test_a_list_that_would_bring_the_desired_bonds_above_20_000_is_refused():
    """A record that would bring the desired bonds above 20,000 is refused with the figure."""
    lists = apply(FULL, record(2, "c", ISINS[-6:-1]))
    assert lists.entries["c"].in_force is None
    assert lists.entries["c"].refusal == (
        "the desired bonds would be 20001: at most 20000 are allowed over all lists; shorten or pause a list"
    )
    assert len(lists.desired) == MOST


def test_the_bound_counts_each_desired_bond_once():
    """Lists of bonds that others want, paused lists, and swaps are accepted at 20,000 bonds."""
    for value in (ISINS[:10_000], {"instruments": ISINS[-10:-1], "paused": True}):
        assert apply(FULL, record(2, "c", value)).entries["c"].refusal is None
    assert apply(FULL, record(2, "b", ISINS[-10_001:-1])).entries["b"].refusal is None


def test_a_paused_list_is_not_resumed_above_the_bound():
    """Resuming a paused list counts like adding its bonds."""
    lists = apply(FULL, record(2, "c", {"instruments": ISINS[-10:-1], "paused": True}))
    resumed = apply(lists, record(3, "c", ISINS[-10:-1]))
    assert "would be 20001" in resumed.entries["c"].refusal
    assert resumed.entries["c"].in_force.wish.paused


def test_lists_above_the_bound_may_shrink():
    """If over 20,000 bonds are in force from before, a record may not add to their number."""
    entries = {**FULL.entries, **lists_of(record(2, "c", ISINS[-10:-1])).entries}
    lists = from_entries(entries)
    assert len(lists.desired) == MOST + 1
    assert apply(lists, record(3, "c", ISINS[-9:-1])).entries["c"].refusal is None
    assert "would be 20002" in apply(lists, record(3, "d", ISINS[-1:])).entries["d"].refusal


@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=4), st.none() | st.binary(max_size=30), st.integers(-(2**63), 2**63)),
        max_size=6,
    )
)
def test_arbitrary_records_never_raise(rows):
    """Any bytes as key and value, and any timestamp, are judged without an exception."""
    records = [ControlRecord(key, value, Position(0, place), stamp) for place, (key, value, stamp) in enumerate(rows)]
    lists = apply_all(Lists(), records)
    assert isinstance(desired(restore(lists, records)), list)


def test_ten_thousand_records_in_a_burst_are_fast():
    """A burst of 10,000 lists and a list of 10,000 bonds are judged quickly."""
    bonds = [isin.with_check_digit(f"KR{number:09}") for number in range(10_000)]
    burst = [record(place, bond, {}) for place, bond in enumerate(bonds)]

    def judge():
        lists = apply_all(Lists(), burst)
        lists = apply(lists, record(10_000, "all", bonds))
        assert len(desired(lists)) == 10_000
        assert len(desired(restore(lists, [*burst, record(10_000, "all", bonds)]))) == 10_000

    assert is_within(5, judge)


def test_many_lists_of_one_bond_are_judged_quickly():
    """The cost of a list does not grow with the number of lists that name the same bond."""
    records = [record(place, f"list{place}", [A]) for place in range(10_000)]

    def judge():
        assert len(apply_all(Lists(), records).desired[A].lists) == 10_000

    assert is_within(2, judge)


def steps_of(computation):
    """Return how many steps a computation takes."""
    return sum(1 for _ in computation)


def test_a_reading_of_large_lists_takes_many_steps():
    """Lists of 10,000 bonds are read, judged and restored in at least one step each."""
    values = [json.dumps({"instruments": ISINS[:10_000]}).encode() for _ in range(4)]
    records = [ControlRecord(b"%d" % place, value, Position(0, place), 0) for place, value in enumerate(values)]
    lists = restore(Lists(), records)
    assert steps_of(subscription.restore(Lists(), records)) >= 8
    assert steps_of(subscription.with_entries(Lists(), lists.entries)) >= 4
    assert steps_of(saved_lists.from_text(to_text(lists))) >= 8
