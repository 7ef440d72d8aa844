"""The engine of the image's tests, where there is none."""

import pytest

from tests.image.engine import engine
from tests.kafka.jars import Unavailable


def test_without_an_engine_or_a_way_to_start_one_the_reason_is_told(monkeypatch):
    """Where nothing answers and no dockerd is installed, the tests learn why they cannot run."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr("tests.image.engine.shutil.which", lambda *arguments, **options: None)
    with pytest.raises(Unavailable, match=r"no dockerd? on the PATH"), engine():
        pass


def test_only_root_starts_one(monkeypatch):
    """Where nothing answers and we are not root, the reason says so instead of a dockerd that fails."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr("tests.image.engine.os.geteuid", lambda: 1000)
    monkeypatch.setattr("tests.image.engine._client", lambda: "docker")
    monkeypatch.setattr("tests.image.engine.shutil.which", lambda *arguments, **options: "/usr/sbin/dockerd")
    with pytest.raises(Unavailable, match="needs root"), engine():
        pass
