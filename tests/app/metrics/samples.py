"""The metrics of a connector where every figure has a value."""

import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from connector.app.metrics import Metrics
from connector.core.histogram import Latencies
from connector.shell.delivery.counts import Counts


def journal(**changes):
    """Return a journal's figures."""
    figures = {
        "received": 12,
        "finished": 7,
        "pending": 3,
        "lost": {"journal_full": 2},
        "used_bytes": 4096,
        "segments_retired": 1,
        "kept": 10,
        "write_error": None,
    }
    return SimpleNamespace(**figures | changes)


def _counts():
    counts = Counts(decoded=9, acknowledged=6, dead_letters=Counter(FIELD_NUMBER=2, FRAME_TR=4))
    counts.latencies.observe([10**9, 2 * 10**9], 2 * 10**9 + 1)
    counts.event_ages[3] += 2
    return counts


def _feed():
    registration = SimpleNamespace(state="ACTIVE")
    return SimpleNamespace(
        slot=0,
        view=SimpleNamespace(
            state="CONNECTED", registrations=dict.fromkeys(("KR103502GD31", "KR103502GA34"), registration)
        ),
        session_up=True,
        capacity=41,
        connects=Counter(start=1, reset=2),
        connect_wait_seconds=0.0,
        last_tick_seconds=None,
        connect_failures=2,
        approval_key_age_seconds=7.5,
        is_slowed=True,
        unreadable=5,
        unsolicited=6,
    )


def _plan(control_reader):
    return SimpleNamespace(
        clocks_ahead={},
        control=SimpleNamespace(ignored=1, is_read=True),
        control_reader=control_reader,
        records={
            "instrument/KR103502GD31": {"state": "ACTIVE"},
            "slot/0": {"state": "CONNECTED"},
            "list/desk": {"state": "REFUSED"},
            "list/other": {"state": "ACCEPTED"},
        },
    )


READER = SimpleNamespace(problem=None, lag=4)


def metrics(*, control_reader=READER, **changes):
    """Return the metrics of the connector with some of its parts changed."""
    parts = {
        "settings": SimpleNamespace(
            journal=SimpleNamespace(max_bytes=8192), kis=SimpleNamespace(websocket_url="ws://kis.example:21000")
        ),
        "journal": journal(),
        "delivery": SimpleNamespace(
            counts=_counts(), lanes=[SimpleNamespace(behind_from=at) for at in (None, 7, None)]
        ),
        "event_topic": SimpleNamespace(dropped=8),
        "slots": SimpleNamespace(feeds={0: _feed()}, app_keys=3, group=SimpleNamespace(difference=None)),
        "plan": _plan(control_reader),
        "secret_watch": SimpleNamespace(
            problems={Path("appkey-0"): None, Path("appsecret-0"): "is gone"},
            changed_at={Path("appkey-0"): time.time() - 60},
        ),
        "loop_lag": SimpleNamespace(latencies=Latencies((0.01,))),
    }
    return Metrics(SimpleNamespace(**parts | changes))


def samples(**changes):
    """Return each sample by name and labels."""
    families = text_string_to_metric_families(metrics(**changes).text().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}
