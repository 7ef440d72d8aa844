"""Metrics of the process: its secrets, its event loop, its logs, its version."""

import time
from typing import Final

from connector import __version__, logs
from connector.app.metrics.definition import Definition

LEFT_OUT: Final = ("dropped", "repeated")

PROCESS: Final = (
    Definition(
        "gauge",
        "kis_bond_secret_unreadable",
        "1 while a file with a secret, or a certificate, cannot be used as it is; what it held before is used",
        lambda of: {path: float(problem is not None) for path, problem in of.secret_watch.problems.items()},
        ("file",),
    ),
    Definition(
        "gauge",
        "kis_bond_credential_age_seconds",
        "Time since a file with a secret, or a certificate, was last written",
        lambda of: {
            path: max(0.0, time.time() - changed_at) for path, changed_at in of.secret_watch.changed_at.items()
        },
        ("file",),
    ),
    Definition(
        "histogram",
        "kis_bond_loop_lag_seconds",
        "By how much a pause of the event loop lasted too long; measured four times a second",
        lambda of: of.loop_lag.latencies,
    ),
    Definition(
        "counter",
        "kis_bond_log_lines_left_out",
        "Log lines not written: `dropped` because stdout was blocked, `repeated` because the same was said within a minute",
        lambda _: dict(logs.lines_left_out()),
        ("why",),
        LEFT_OUT,
    ),
    Definition(
        "gauge",
        "kis_bond_feed_cleartext",
        "1 where the feed's URL is plain `ws://`",
        lambda of: float(of.settings.kis.websocket_url.startswith("ws://")),
    ),
    Definition("gauge", "kis_bond_build_info", "1; the version is a label", lambda _: {__version__: 1.0}, ("version",)),
)
