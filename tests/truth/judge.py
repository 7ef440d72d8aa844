"""Compares what the auditor reported of a world with the oracle and with the world's log."""

from collections import Counter

from connector.core.coverage.dates import has_events
from connector.core.coverage.record import value_of
from tests.truth import world as worlds
from tests.truth.auditing import Auditing
from tests.truth.oracle import Oracle
from tests.truth.world import CLOSED_DAY, TODAY, is_trading_day


def differences(seed):
    """Play the world of a seed, and return in words what was reported wrongly."""
    world = worlds.make(seed)
    oracle = Oracle(world)
    played = Auditing(world, oracle).play()
    found = played.final()
    wrong = []
    for key, expected in oracle.days.items():
        if key not in found:
            wrong.append(f"{key}: no record")
            continue
        value = value_of(found[key])
        wrong += [f"{key}: {each}" for each in of_day(world, expected, value)]
    extra = set(found) - set(oracle.days) - {(worlds.ISINS[0], CLOSED_DAY)}
    wrong += [f"{key}: a record of nothing" for key in extra if value_of(found[key])["ticks"]]
    if (closed := found.get((worlds.ISINS[0], CLOSED_DAY))) is not None:
        wrong += ["a closed day has volume"] * (closed.accumulated_volume != 0 or closed.irregular != closed.ticks)
    return [*wrong, *of_events(played, oracle)], sum(len(each.holes) for each in oracle.days.values())


def of_day(world, expected, value):
    """Yield in words what a record's value says wrongly of a bond's day."""
    yield from _compare("counts", (value["ticks"], value["repeats"], value["irregular"]), _counts(expected))
    reported = {(each["from_volume"], each["to_volume"]): _hole(each) for each in value["holes"]}
    yield from _compare(
        "holes", reported, {(each.low, each.high): _expected(expected, each) for each in expected.holes}
    )
    yield from _compare("waiting", [each for each in value["holes"] if each["id"] is None], [])
    yield from _against_log(world, expected, value)
    unwanted = _remaining_volume(expected, lambda hole: hole.cause == "not_wanted")
    missing = _remaining_volume(expected, lambda hole: hole.cause != "not_wanted")
    volumes = ("accumulated_volume", "covered_volume", "missing_volume", "unwanted_volume")
    wanted = (expected.top, expected.top - missing - unwanted, missing, unwanted)
    yield from _compare("volumes", tuple(value[name] for name in volumes), wanted)
    yield from _compare("state", (value["state"], value["reason"]), _state(world, expected, missing))


def _compare(what, reported, expected):
    if reported != expected:
        yield f"{what}: reported {reported}, expected {expected}"


def _counts(expected):
    return expected.ticks, expected.repeats, 0


def _hole(fields):
    sides = tuple(side and side["tick_id"] for side in (fields["after"], fields["before"]))
    return *sides, fields["cause"], fields["state"], [tuple(each) for each in fields["remaining"]]


def _expected(day, hole):
    return hole.after, hole.before, hole.cause, hole.state, day.remaining(hole)


def _remaining_volume(day, chosen):
    return sum(high - low for hole in day.holes if chosen(hole) for low, high in day.remaining(hole))


def _state(world, day, missing):
    unexplained = sum(hole.cause == "unknown" and hole.state != "FILLED" for hole in day.holes)
    pairs = day.ticks - day.repeats - 1
    if pairs >= 20 and unexplained > pairs / 5:
        return "UNPROVEN", "law"
    if day.day == TODAY and world.has_rest and day.totals[-1] < day.top:
        return "UNPROVEN", "taken_back"
    if day.day == TODAY and day.ticks == 0 and not (world.has_rest and day.totals[-1] == 0):
        return "UNPROVEN", "no_ticks"
    if any(hole.state != "FILLED" and hole.cause != "not_wanted" for hole in day.holes):
        return "HOLES", None
    return "COMPLETE" if day.day == TODAY and missing == 0 else "OPEN", None


def _against_log(world, expected, value):
    """Compare with what truly happened, without the oracle: the trades that never arrived."""
    end, runs = 0, []
    for deal in world.deals_of(expected.isin, expected.day):
        if deal.lost is None or (deal.low, deal.high) in expected.arrived:
            runs += [(end, deal.low)] if deal.low > end else []
            end = deal.high
    runs += [(end, expected.top)] if expected.top > end else []
    pieces = sorted(tuple(piece) for hole in value["holes"] for piece in hole["remaining"])
    merged = []
    for low, high in pieces:
        if merged and merged[-1][1] == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    yield from _compare("missing by the log", merged, runs)
    for hole in expected.holes:
        # A slot that carried the bond only within the hole is in none of its neighbours.
        inside = [
            each
            for each in world.deals_of(expected.isin, expected.day)
            if hole.low <= each.low < hole.high and each.slot in hole.slots
        ]
        reasons = {each.lost for each in inside if each.lost is not None}
        if len(reasons) == 1 and "unknown" not in reasons and not reasons <= hole.candidates:
            yield f"{hole}: lost by {reasons}, which the log does not show there"
        if hole.cause == "unknown" and reasons - {"unknown"}:
            yield f"{hole}: unknown, but lost by {reasons}"


def of_events(played, oracle):
    """Yield what is wrong with the events: each announced hole has its own, under its one id."""
    gaps = Counter(each.detail["id"] for each in played.topics.events if each.event == "gap")
    fills = {each.detail["id"]: each.detail["by"] for each in played.topics.events if each.event == "backfill"}
    due = {
        f"{one.isin}/{one.day.isoformat()}/{hole.low}-{hole.high}": hole
        for one in oracle.days.values()
        for hole in one.holes
        if has_events(one.day, played.now, is_trading_day)
    }
    yield from _compare("gap events", set(gaps), set(due))
    filled = {name: hole.by for name, hole in due.items() if hole.state == "FILLED"}
    yield from _compare("backfill events", fills, filled)
