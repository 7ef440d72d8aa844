"""The limit of open files is raised as far as allowed."""

import resource

import pytest

from connector.shell import descriptors


@pytest.fixture(autouse=True)
def _limit_as_before():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_and_never_lowered(monkeypatch):
    """It rises to what is wanted within the hard limit; a higher one stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    monkeypatch.setattr(descriptors, "WANTED", 512)
    descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512
    monkeypatch.setattr(descriptors, "WANTED", 128)
    descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512


def test_a_refusal_changes_nothing(monkeypatch):
    """If the system refuses, the process runs with the limit it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(descriptors, "WANTED", 2**62)
    descriptors.raise_limit()
    monkeypatch.undo()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
