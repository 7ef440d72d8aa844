"""What `/status` shows of a bond's day."""

from itertools import permutations

from connector.core.coverage import shown as module
from connector.core.coverage.shown import CAUSES, HOLES, PIECES, shown, shown_day
from connector.core.steps import finished
from tests.core.coverage.trades import FRIDAY, value


def hole(low, high, remaining=None):
    """Return a hole as a record has it."""
    return {"from_volume": low, "to_volume": high, "remaining": [[low, high]] if remaining is None else remaining}


def day_of(values):
    """Return what is shown of Friday."""
    return finished(shown_day(FRIDAY, values.items()))


def test_a_record_with_few_holes_is_shown_whole():
    """Nothing is left off a usual day."""
    value = {"state": "HOLES", "holes": [hole(5, 9), hole(20, 22, [])]}
    assert shown(value) == {**value, "holes_left_off": 0}


def test_the_widest_holes_are_kept_in_order():
    """Of more holes than are shown, those with most missing are kept in ascending order."""
    narrow = [hole(100 * place, 100 * place + 1) for place in range(HOLES)]
    filled, wide = hole(1, 99, []), hole(100 * HOLES, 100 * HOLES + 50)
    found = shown({"holes": [filled, *narrow, wide]})
    assert found["holes"][-1] == wide
    assert filled not in found["holes"]
    assert found["holes"] == sorted(found["holes"], key=lambda each: each["from_volume"])
    assert (len(found["holes"]), found["holes_left_off"]) == (HOLES, 1), "a filled hole is not missing"


def test_the_widest_pieces_of_a_hole_are_kept_in_order():
    """A hole that ticks cut into many pieces is shown with the widest of them."""
    pieces = [[10 * place, 10 * place + 1 + place] for place in range(PIECES + 3)]
    (found,) = shown({"holes": [hole(0, 1000, pieces)]})["holes"]
    assert found["remaining"] == pieces[3:]


def test_a_day_has_the_sums_and_the_records_of_its_bonds():
    """Holes that wait for their cause, and filled ones, are not counted by cause."""
    (lacking,) = value()["holes"]
    waiting, filled = lacking | {"id": None, "cause": None}, lacking | {"state": "FILLED", "remaining": []}
    found = day_of({"B": value(), "A": value(holes=[waiting]), "C": value(state="OPEN", holes=[filled])})
    assert found["coverage"] == {
        "trade_date": "2026-09-11",
        "bonds": 3,
        "states": {"HOLES": 2, "OPEN": 1},
        "covered_volume": 60,
        "accumulated_volume": 120,
        "missing_volume": 60,
        "unwanted_volume": 0,
        "open_holes": {"unknown": 1},
    }
    assert list(found["days"]) == ["A", "B", "C"]
    assert found["days"]["B"] == shown(value())


def test_of_many_bonds_those_with_most_missing_are_listed(monkeypatch):
    """The sums count the others, too. It does not matter in which order the bonds come."""
    monkeypatch.setattr(module, "BONDS", 2)
    for order in permutations([("A", 5), ("B", 0), ("C", 9), ("D", 2)]):
        found = day_of({isin: value(missing_volume=missing) for isin, missing in order})
        assert (list(found["days"]), found["coverage"]["bonds"]) == (["A", "C"], 4)
        assert found["coverage"]["missing_volume"] == 16


def test_a_day_of_many_bonds_is_made_in_steps():
    """Between two steps other tasks have their turns, so that no session waits for the page."""
    values = dict.fromkeys(range(20_000), value())
    assert sum(1 for _ in shown_day(FRIDAY, values.items())) == 20_000
    assert day_of(values)["coverage"]["missing_volume"] == 20_000 * value()["missing_volume"]


def test_only_the_most_frequent_causes_are_counted():
    """A foreign record may name any cause, so their number is bounded."""
    (lacking,) = value()["holes"]
    holes = [lacking | {"cause": f"cause_{number}"} for number in range(CAUSES + 5)] + [lacking]
    found = day_of({"A": value(holes=[*holes, lacking])})["coverage"]["open_holes"]
    assert (len(found), found["unknown"]) == (CAUSES, 2)
