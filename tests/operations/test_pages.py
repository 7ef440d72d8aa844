"""docs/metrics.md and docs/logs.md agree with the code."""

import re

from tests.operations.log_events import events
from tests.operations.metrics_page import PAGE, page
from tests.operations.server import ROOT


def test_the_page_of_metrics_is_made_from_the_code():
    """`make metrics-page` would change nothing."""
    assert PAGE.read_text() == page()


def test_the_page_of_logs_names_every_event_with_its_level_logger_and_fields():
    """The page has exactly the events that the code can write, each with its meaning."""
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]+) \| ([\w`., ]+) \| ([\w, ]*) \| (.+) \|$",
        (ROOT / "docs/logs.md").read_text(),
        re.MULTILINE,
    )
    on_page = {
        event: (set(split(levels)), set(split(loggers)), set(split(fields)))
        for event, levels, loggers, fields, _ in rows
    }
    assert on_page == events()


def test_event_names_are_stable_words():
    """An event's name is lower case and underscores; what varies is in the fields."""
    found = events()
    assert len(found) > 30
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", event) for event in found)


def split(cell):
    """Return the entries of a table cell."""
    return [each.strip(" `") for each in cell.split(",") if each.strip()]
