"""Tests of what a shell is offered that completes a command."""

import asyncio
from types import SimpleNamespace

import pytest

from connector.cli import completion
from connector.errors import NotInTime


@pytest.fixture
def context(monkeypatch):
    """Return a command's context, with a status topic that holds two bonds and two lists."""

    async def read(_settings):
        return ["list/desk", "list/b\x1b[31m", "instrument/KR103502GD31", "instrument/KR103502GA34", "slot/0"]

    monkeypatch.setattr(completion, "_read", read)
    root = SimpleNamespace(params={})
    return SimpleNamespace(params={}, find_root=lambda: root)


def test_lists_by_name(context):
    """Names of lists are offered that begin as typed; one that acts on a terminal is not."""
    assert completion.lists(context, "") == ["desk"]
    assert completion.lists(context, "x") == []


def test_without_a_bond_master_the_wanted_bonds(context):
    """The wanted bonds are offered in order, however they are typed."""
    assert [isin for isin, _ in completion.isins(context, "kr1")] == ["KR103502GA34", "KR103502GD31"]


def test_the_bonds_of_the_saved_master_with_their_names(context, monkeypatch):
    """A saved bond master is asked first, so that Kafka need not be there."""
    bonds = {isin: SimpleNamespace(name="국고") for isin in ("KR103502GD31", "KR2033022D33")}
    monkeypatch.setattr(completion, "known_bonds", lambda: bonds)
    assert completion.isins(context, "KR2") == [("KR2033022D33", "국고")]


@pytest.mark.parametrize("error", [NotInTime("away"), TimeoutError()])
def test_nothing_is_offered_while_kafka_is_away(context, monkeypatch, error):
    """A Kafka that does not answer offers nothing, and no error disturbs the prompt."""

    async def read(_settings):
        raise error

    monkeypatch.setattr(completion, "_read", read)
    assert (completion.lists(context, ""), completion.isins(context, "")) == ([], [])


def test_a_shell_is_answered(cli, monkeypatch):
    """The commands give a shell what completes them, and nothing else on stdout."""
    monkeypatch.setattr(completion, "known_bonds", lambda: {"KR103502GA34": SimpleNamespace(name="국고")})
    words = {"COMP_WORDS": "kis-bond subs add KR1", "COMP_CWORD": "3", "_KIS_BOND_COMPLETE": "complete_bash"}
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    result = cli()
    assert result.stdout.split() == ["KR103502GA34"]


async def test_the_topic_is_given_up_soon(monkeypatch):
    """Nobody waits long at a prompt."""
    monkeypatch.setattr(completion, "KAFKA_SECONDS", 0.01)
    monkeypatch.setattr("connector.cli.kafka_access.read", lambda *_: asyncio.sleep(60))
    with pytest.raises(TimeoutError):
        await completion._read(SimpleNamespace(topics=SimpleNamespace(status="s")))
