"""What to try in a second terminal while a demo runs, and what a demo leaves behind."""

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


def of(settings: Settings, folder: Path, port: int, *, own_topics: bool) -> list[str]:
    """Return lines to show; those to type are indented. Where topics have names of their own, a settings file in `folder` holds them."""
    variables = {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers}
    if own_topics:
        variables["KIS_BOND_CONFIG"] = str(_settings_file(settings, folder))
    return [
        "Try in a second terminal:",
        f"  export {' '.join(f'{name}={shlex.quote(value)}' for name, value in variables.items())}",
        *(f"  {_program()} {command}" for command in COMMANDS),
        f"Ctrl-C ends the demo with a summary. The connector's page: http://{settings.http.host}:{port}/",
    ]


def left_behind(settings: Settings) -> list[str]:
    """Return what to say about the topics of a run on a real Kafka."""
    prefix = settings.topics.ticks.partition(".")[0]
    return [
        f"The topics {prefix}.* were made for this run and stay until somebody deletes them; no other topic was touched."
    ]


def _program() -> str:
    """Return the program as it was called."""
    called = Path(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m connector" if called.name == "__main__.py" else shlex.quote(sys.argv[0])


def _settings_file(settings: Settings, folder: Path) -> Path:
    tree = settings.redacted()
    kept = {
        section: {name: value for name, value in tree[section].items() if value is not None}
        for section in ("kafka", "topics")
    }
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return path
