"""Our schema against the versions of a subject in a real registry."""

import uuid

import pytest

from connector.cli.subject import advice_on, look, register
from connector.errors import NotInTime
from connector.settings import load
from connector.shell import registry
from tests.core.ticks.test_compatibility import COMPATIBLE, INCOMPATIBLE, edited


@pytest.fixture
def settings(registry_url):
    """Return settings for a subject that no other test has."""
    return load(None, {"KIS_BOND_REGISTRY__URL": registry_url, "KIS_BOND_TOPICS__TICKS": uuid.uuid4().hex})


async def put(settings, text):
    """Register another schema under the subject."""
    return await registry.register(settings.registry, f"{settings.topics.ticks}-value", text)


async def test_a_new_subject_does_not_hold_our_schema(settings):
    """Before the first registration the schema is missing, and the level is the registry's."""
    found = await look(settings)
    assert (found.schema_id, found.level, found.versions) == (None, "NONE", [])
    assert found.drift == ["does not hold this schema: run kis-bond schema register"]


async def test_our_schema_is_registered_and_the_level_set_only_if_given(settings):
    """Without a level the one in force stays and is advised against; with one it is set."""
    found = await register(settings, None)
    assert (found.level, found.drift) == ("NONE", [])
    assert found.warnings[0].startswith("compatibility level NONE accepts schemas that break readers")
    again = await register(settings, "FULL_TRANSITIVE")
    assert (again.schema_id, again.level, again.warnings) == (found.schema_id, "FULL_TRANSITIVE", [])


async def test_a_version_that_breaks_readers_is_refused_whatever_the_level(settings):
    """At level NONE the registry takes a long as a string without a word; we do not."""
    await put(settings, edited(INCOMPATIBLE["long to string"][0]))
    assert (await look(settings)).level == "NONE"
    with pytest.raises(NotInTime) as caught:
        await register(settings, None)
    assert str(caught.value).split("\n") == [
        f"The schema was not registered: it does not fit {settings.topics.ticks}-value.",
        "Version 1 does not fit: CNTG_VOL changes its type from string to long.",
    ]
    assert (await look(settings)).schema_id is None


async def test_a_newer_version_with_one_more_column_fits(settings):
    """After a rollback, the older schema is registered beside the newer one."""
    await put(settings, edited(COMPATIBLE["a new column"]))
    found = await register(settings, "FULL_TRANSITIVE")
    assert ([each.number for each in found.versions], found.drift) == ([2, 1], [])


async def test_what_is_no_schema_of_ticks_is_named(settings):
    """A subject that holds something else does not fit."""
    await put(settings, '"string"')
    assert "version 1 does not fit: It is no Avro schema of a record" in (await look(settings)).drift[1]


async def test_a_level_that_cannot_be_set_is_told_after_the_registration(settings, monkeypatch):
    """The sentence says what was done and what was not."""

    async def fails(*_):
        raise NotInTime("no")

    monkeypatch.setattr("connector.cli.subject.registry_subject.set_level", fails)
    with pytest.raises(NotInTime, match=r"The schema is registered under id [0-9]+, but the level was not set: no"):
        await register(settings, "FULL")
    assert (await look(settings)).schema_id is not None


def test_advice_is_given_unless_the_level_is_the_recommended_one():
    """Only FULL_TRANSITIVE protects every reader."""
    assert advice_on("FULL_TRANSITIVE") is None
    assert "FULL_TRANSITIVE" in advice_on("BACKWARD")
