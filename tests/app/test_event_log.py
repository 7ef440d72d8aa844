"""Events reach the topic, and the latest ones are shown."""

from types import SimpleNamespace

from connector.app.event_log import RECENT_EVENTS, EventLog
from connector.core.event import Event
from connector.shell.journal import Loss


def event(kind, number=0):
    """Return an event of slot 0."""
    return Event(kind, "2026-01-02T00:00:00.000Z", 0, None, {"number": number})


def test_the_latest_events_are_remembered_and_all_are_published():
    """A hundred events are shown, oldest first; the topic gets every one."""
    published = []
    log = EventLog(SimpleNamespace(publish=published.append), "replica-a")
    for number in range(RECENT_EVENTS + 1):
        log.record(event("session_down", number))
    assert [each.detail["number"] for each in log.recent] == list(range(1, RECENT_EVENTS + 1))
    assert len(published) == RECENT_EVENTS + 1


def test_a_session_that_was_up_long_ago_counts():
    """The log knows that a session was open, however many events followed."""
    log = EventLog(SimpleNamespace(publish=lambda _: None), "replica-a")
    assert not log.was_up
    log.record(event("session_up"))
    for _ in range(RECENT_EVENTS):
        log.record(event("session_down"))
    assert log.was_up


def test_a_session_names_its_owner():
    """Of several replicas, the event says whose session went up or down."""
    published = []
    EventLog(SimpleNamespace(publish=published.append), "replica-a").record_session(event("session_up", 7))
    assert published[0].detail == {"owner": "replica-a", "number": 7}


def test_a_restart_names_its_topic():
    """A topic that was read again is the key of the event, which says why."""
    published = []
    EventLog(SimpleNamespace(publish=published.append), "replica-a").record_restart("control", "it was deleted")
    (restart,) = published
    assert (restart.event, restart.key) == ("topic_restarted", "control")
    assert restart.detail == {"topic": "control", "reason": "it was deleted"}


def test_a_loss_names_its_slot_and_its_times():
    """The event's detail has what was lost, when, and why."""
    published = []
    EventLog(SimpleNamespace(publish=published.append), "replica-a").record_loss(
        Loss(slot=2, reason="disk", frames=3, bytes=300, from_ns=10**9, to_ns=2 * 10**9)
    )
    (loss,) = published
    assert (loss.event, loss.slot, loss.instrument) == ("loss", 2, None)
    assert loss.detail == {
        "frames": 3,
        "bytes": 300,
        "from": "1970-01-01T00:00:01.000Z",
        "to": "1970-01-01T00:00:02.000Z",
        "reason": "disk",
    }
