"""The engine of the image's tests on a machine that has none."""

import pytest

from tests.image.engine import engine
from tests.kafka.jars import Unavailable


def test_without_an_engine_or_a_way_to_start_one_the_reason_is_told(monkeypatch):
    """Without an answering engine and dockerd, the reason says why the tests cannot run."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr("tests.image.engine.shutil.which", lambda *arguments, **options: None)
    with pytest.raises(Unavailable, match=r"no dockerd? on the PATH"), engine():
        pass


def test_only_root_starts_one(monkeypatch):
    """Without an engine, the reason names the missing root rights instead of a failing dockerd."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr("tests.image.engine.os.geteuid", lambda: 1000)
    monkeypatch.setattr("tests.image.engine._client", lambda: "docker")
    monkeypatch.setattr("tests.image.engine.shutil.which", lambda *arguments, **options: "/usr/sbin/dockerd")
    with pytest.raises(Unavailable, match="needs root"), engine():
        pass
