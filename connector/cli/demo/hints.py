"""Lines on what to try in a second terminal during a demo, and on what remains after it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from connector.cli.demo.kafka import SPARE_ISIN

if TYPE_CHECKING:
    from connector.settings import Settings

COMMANDS = (f"subs add {SPARE_ISIN}", "subs ls", "tail")


def of(settings: Settings, folder: Path, port: int) -> list[str]:
    """Return the lines to show; those to type are indented.

    A settings file in `folder` names the run's Kafka, its topics and journal, and the `port` of
    its page.
    """
    return [
        "Try in a second terminal:",
        f"  export KIS_BOND_CONFIG={shlex.quote(str(_settings_file(settings, folder, port)))}",
        *(f"  {_program()} {command}" for command in COMMANDS),
        f"Page {settings.http.url(port)}/  Kafka {settings.kafka.bootstrap_servers}  Ctrl-C ends the demo",
    ]


def remaining_topics(settings: Settings) -> list[str]:
    """Return the lines on the topics that a run leaves on a real Kafka."""
    prefix = settings.topics.ticks.partition(".")[0]
    return [f"The topics {prefix}.* were created for this run and stay until somebody deletes them."]


def _program() -> str:
    """Return the words that call this program, as the user called it."""
    called = Path(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m connector" if called.name == "__main__.py" else shlex.quote(sys.argv[0])


def _settings_file(settings: Settings, folder: Path, port: int) -> Path:
    tree = settings.redacted()
    given = {
        section: {name: value for name, value in tree[section].items() if value is not None}
        for section in ("kafka", "topics")
    } | {
        "http": {"host": settings.http.host, "port": port},
        "journal": {"path": str(settings.journal.path)},
    }
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    return path
