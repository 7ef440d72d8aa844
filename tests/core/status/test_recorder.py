"""Status records are made round by round."""

from dataclasses import replace

import pytest

from connector.core import status
from connector.core.bonds import isin
from connector.core.lists.subscription import ControlRecord, Position
from tests.core.lists.at_once import apply
from tests.core.status.test_records import T0, A, B, replica


def rounds(recorder, view, records):
    """Return the records when the recorder has made all of them."""
    records = recorder.records(view, records, T0)
    while recorder.has_more:
        records = recorder.records(view, records, T0)
    return records


def test_one_round_makes_a_bounded_number_of_records():
    """Many changed records are made over several rounds, those of waiting bonds last."""
    bonds = [isin.with_check_digit(f"KR{number:09}") for number in range(100)]
    view = replica(bonds, {bonds[70]: 0})
    recorder = status.Recorder(at_once=30)
    first = recorder.records(view, {}, T0)
    assert len(first) == 30
    assert first.keys() >= {"slot/0", "list/desk", f"instrument/{bonds[70]}"}
    assert recorder.has_more
    assert rounds(recorder, view, first) == status.records(view, {}, T0)


def test_an_unchanged_record_is_the_same_object():
    """A round makes only the records that changed; all others are the same objects as before."""
    recorder = status.Recorder()
    view = replica([A, B])
    before = rounds(recorder, view, {})
    lists = apply(view.lists, ControlRecord(B.encode(), b"{}", Position(0, 8), 0))
    after = recorder.records(replace(view, lists=lists), before, T0)
    assert after[f"instrument/{B}"]["lists"] == sorted(["desk", B])
    assert {key for key in after if after[key] is not before.get(key)} == {f"instrument/{B}", f"list/{B}"}


@pytest.mark.parametrize("key", [f"instrument/{A}", "list/desk", "slot/0"])
@pytest.mark.parametrize("written", [{"state": "x"}, None])
def test_a_record_of_ours_that_was_changed_by_others_is_made_again(key, written):
    """What others wrote or removed under a key of ours is replaced in the next round."""
    recorder, view = status.Recorder(), replica()
    before = rounds(recorder, view, {})
    changed = {name: record for name, record in before.items() if name != key}
    changed |= {} if written is None else {key: written}
    assert recorder.records(view, changed, T0) == before


def test_what_others_wrote_stays_while_a_topic_made_anew_lacks_it():
    """A wanted bond of another replica keeps its record; an unwanted one's goes."""
    view = replace(replica([A], {A: 1}), others=frozenset({1}))
    theirs = {"state": "REJECTED", "slot": 1}
    previous = {f"instrument/{A}": theirs, f"instrument/{B}": theirs}
    made = status.records(view, previous, T0, {})
    assert made[f"instrument/{A}"] is theirs
    assert f"instrument/{B}" not in made
    assert status.records(view, previous, T0, previous)[f"instrument/{B}"] is theirs
