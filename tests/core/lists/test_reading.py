"""Which records of a reading are judged, although the topic may have been made again."""

import json

import pytest

from connector.core.bonds import isin
from connector.core.lists import subscription
from connector.core.lists.subscription import ControlRecord, Lists, Position
from tests.core.lists.at_once import apply, apply_all, desired, restore

BONDS = [isin.with_check_digit(f"KR{number:09}") for number in range(20)]


def record(offset, name, value):
    """Make a control record; a dict or list of bonds becomes JSON, bytes and None stay."""
    if isinstance(value, list):
        value = {"instruments": value}
    content = json.dumps(value).encode() if isinstance(value, dict) else value
    return ControlRecord(name.encode(), content, Position(0, offset), offset)


GUARDED = {"instruments": BONDS[:5]}
CONFIRMED = GUARDED | {"confirm_removal": True}


@pytest.mark.parametrize(
    ("refused", "found", "bonds"),
    [
        (b"bad", b"bad", 20),
        (b"bad", BONDS[:1], 20),  # the guard holds it back, so it was judged
        (b"bad", BONDS[:15], 15),
        (b"bad", None, 20),
        (GUARDED, GUARDED, 20),
        (GUARDED, BONDS[:2], 20),  # it may be the refused record
        (GUARDED, CONFIRMED, 5),
        (GUARDED, b"bad", 20),
        (None, None, 20),
        (None, BONDS[:15], 15),
    ],
)
def test_another_record_in_the_place_of_a_refused_one_is_judged(refused, found, bonds):
    """In a topic made again, a record in the place of a refused one is judged if it differs."""
    before = apply_all(Lists(), [record(0, "a", BONDS[:20]), record(7, "a", refused)])
    assert before.entries["a"].refusal is not None
    after = restore(before, [record(7, "a", found)])
    assert len(desired(after)) == bonds
    judged = apply(apply_all(Lists(), [record(0, "a", BONDS[:20])]), record(7, "a", found))
    assert after == (before if found == BONDS[:2] else judged)


def test_too_many_bonds_are_refused_again_only_if_others_are_asked_for(monkeypatch):
    """A record that asked for too many bonds is judged once, and a bad one in its place again."""
    monkeypatch.setattr(subscription, "MAX_DESIRED", 10)
    before = apply_all(Lists(), [record(0, "a", BONDS[:3]), record(7, "a", BONDS[:20])])
    assert before.entries["a"].refusal.startswith("the desired bonds would be 20")
    monkeypatch.setattr(subscription, "MAX_DESIRED", 30)
    assert restore(before, [record(7, "a", BONDS[:20])]) == before
    assert "JSON" in restore(before, [record(7, "a", b"bad")]).entries["a"].refusal
