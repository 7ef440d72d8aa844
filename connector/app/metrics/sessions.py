"""Metrics of each slot: its session, its connections, its registrations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, get_args

from connector.app.clock import market_is_open
from connector.app.metrics.definition import Definition
from connector.core.kis.backoff import Cause
from connector.core.kis.bond_registration import RegistrationState
from connector.core.kis.slot_view import SlotState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.app.build import Parts
    from connector.app.metrics.definition import Values
    from connector.shell.kis import KisFeed


def _by_slot(read: Callable[[KisFeed], float | None]) -> Callable[[Parts], Values]:
    return lambda parts: {feed.slot: value for feed in parts.slots.feeds.values() if (value := read(feed)) is not None}


def _by_slot_and(known: Sequence[str], read: Callable[[KisFeed], Mapping[str, float]]) -> Callable[[Parts], Values]:
    def values(parts: Parts) -> Values:
        return {
            (feed.slot, name): count
            for feed in parts.slots.feeds.values()
            for name, count in (dict.fromkeys(known, 0.0) | dict(read(feed))).items()
        }

    return values


def _owned(parts: Parts) -> Values:
    owned = {feed.slot for feed in parts.slots.feeds.values()}
    return {slot: float(slot in owned) for slot in sorted(owned | set(range(parts.slots.app_keys)))}


def _differ(parts: Parts) -> Values:
    return {"settings": float(parts.slots.group.difference is not None), "clock": float(bool(parts.plan.clocks_ahead))}


def _connects(feed: KisFeed) -> Mapping[str, float]:
    return feed.connects


def _registrations(feed: KisFeed) -> Mapping[str, float]:
    return Counter(each.state for each in feed.view.registrations.values())


_CAUSES: Final = ("start", *get_args(Cause))
_SLOT_STATES: Final = get_args(SlotState)
_REGISTRATION_STATES: Final = get_args(RegistrationState)

SESSIONS: Final = (
    Definition(
        "gauge",
        "kis_bond_slot_owned",
        "1 for each slot that this process runs, 0 for every other slot. Standalone, it runs all of them",
        _owned,
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_replicas_differ",
        "1 if another replica has other app keys or another `kis.session_capacity` (`settings`), "
        "or a clock more than 30 s ahead of ours (`clock`)",
        _differ,
        ("what",),
    ),
    Definition(
        "gauge",
        "kis_bond_session_up",
        "1 while the slot's session is open",
        _by_slot(lambda feed: float(feed.session_up)),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_slot_state",
        "1 for the state the slot is in, 0 for the others",
        _by_slot_and(_SLOT_STATES, lambda feed: {feed.view.state: 1.0}),
        ("slot", "state"),
        _SLOT_STATES,
    ),
    Definition(
        "gauge",
        "kis_bond_slot_capacity",
        "Registrations the slot may carry: `kis.session_capacity`, or a lower limit learned from KIS; "
        "0 while KIS refuses the app key for good",
        _by_slot(lambda feed: feed.capacity),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_registrations",
        "Bonds the slot should carry, by KIS's answer",
        _by_slot_and(_REGISTRATION_STATES, _registrations),
        ("slot", "state"),
        _REGISTRATION_STATES,
    ),
    Definition(
        "gauge",
        "kis_bond_last_tick_timestamp_seconds",
        "When the slot's latest data frame was received in this run, in seconds since 1970; 0 before the first",
        _by_slot(lambda feed: feed.last_tick_seconds or 0.0),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_market_open",
        "1 while the bond market trades, by the Korea Exchange's calendar: 09:00 to 15:30 in Seoul on its trading days",
        lambda _: float(market_is_open()),
    ),
    Definition(
        "counter",
        "kis_bond_connects",
        "Connection attempts, by their cause: `start`, or how the previous session or attempt ended",
        _by_slot_and(_CAUSES, _connects),
        ("slot", "cause"),
        _CAUSES,
    ),
    Definition(
        "gauge",
        "kis_bond_connect_wait_seconds",
        "Time until the slot may connect again; 0 while a session is open or none is wanted",
        _by_slot(lambda feed: feed.connect_wait_seconds),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_connect_failures",
        "Attempts and sessions in a row without data or PINGPONG; the waits grow with them",
        _by_slot(lambda feed: feed.connect_failures),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_approval_key_age_seconds",
        "Time since KIS gave the slot's approval key; absent without one",
        _by_slot(lambda feed: feed.approval_key_age_seconds),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_requests_slowed",
        "1 while the slot sends its requests one by one, because so many failed within an hour",
        _by_slot(lambda feed: float(feed.is_slowed)),
        ("slot",),
    ),
    Definition(
        "counter",
        "kis_bond_replies_unreadable",
        "JSON messages of KIS that could not be read",
        _by_slot(lambda feed: feed.unreadable),
        ("slot",),
    ),
    Definition(
        "counter",
        "kis_bond_replies_unsolicited",
        "Replies of KIS that answer no request of ours",
        _by_slot(lambda feed: feed.unsolicited),
        ("slot",),
    ),
)
