"""The engine, the image of this checkout, and the figures that a run prints."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import started
from tests.image import base
from tests.image.build import IMAGE, build
from tests.image.engine import Engine, engine
from tests.kafka.jars import Unavailable

REQUIRED = "KIS_BOND_REQUIRE_DOCKER"
REVISION = "0123456789abcdef"
# A comment in pip's configuration, as a password there would be; no layer may hold it.
CANARY = "canary-4b1d0c6e"
figures: dict[str, str] = {}


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """Give a Docker engine; the end stops it if it had to be started."""
    with ExitStack() as stack:
        yield started("a Docker engine", lambda: stack.enter_context(engine()), REQUIRED)


@pytest.fixture(scope="session")
def image(docker) -> str:
    """Build the image from this checkout and return its name."""
    began = time.monotonic()
    if docker.is_own:
        started("the image's base", lambda: base.make(docker), REQUIRED)
        figures["base ready after"] = f"{time.monotonic() - began:.1f} s"
        began = time.monotonic()
    build(docker, revision=REVISION, comment=CANARY)
    figures["image built in"] = f"{time.monotonic() - began:.1f} s"
    figures["image"] = f"{_megabytes(docker, IMAGE):.0f} MB"
    if docker.is_own:
        figures["image"] += f", {_megabytes(docker, base.name()):.0f} MB of it its base"
        docker.docker("image", "prune", "--force")  # the image of the checkout's earlier state
    return IMAGE


def _megabytes(docker: Engine, name: str) -> float:
    size: int = json.loads(docker.docker("image", "inspect", name))[0]["Size"]
    return size / 1e6


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """Return the command that runs Docker Compose here."""
    return started("Docker Compose", _find_compose, REQUIRED)


def _find_compose() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    raise Unavailable("neither the plugin nor docker-compose is on the PATH")


def pytest_terminal_summary(terminalreporter):
    """Print the measured figures."""
    if figures:
        terminalreporter.section("image")
        for name, figure in figures.items():
            terminalreporter.line(f"{name}: {figure}")
