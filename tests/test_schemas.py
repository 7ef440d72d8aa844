"""The published schemas: what is released stays, and the AsyncAPI document tells of every topic."""

import json

import jsonschema
import pytest
import yaml

from connector.packaged_files import released_schemas
from connector.settings.model import TopicSettings
from tests import asyncapi
from tests.published import SCHEMAS, published

NAMES = ("control", "status_instrument", "status_list", "status_slot", "event", "coverage")


@pytest.mark.parametrize("name", NAMES)
def test_each_json_schema_is_valid_and_has_a_version(name):
    """A schema names itself and its version, and is one of JSON Schema."""
    schema = published(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:kis-bond:{name}:1.0.0"


@pytest.mark.parametrize("name", NAMES)
def test_only_control_records_have_no_further_fields(name):
    """A reader that validates by a schema of today accepts the fields of a later version."""
    assert published(name)["additionalProperties"] is (name != "control")


def test_released_schemas_are_whole():
    """Each released schema is that of BondTick, and the first has KIS's nineteen columns."""
    for text in released_schemas().values():
        assert json.loads(text)["name"] == "BondTick"
    fields = [field["name"] for field in json.loads(released_schemas()["1.0.0"])["fields"]]
    assert sum(name.isupper() for name in fields) == 19
    assert len(fields) == 25


def test_the_asyncapi_document_is_that_of_the_schemas_and_the_topic_plan():
    """`make asyncapi` writes it."""
    assert asyncapi.DOCUMENT.read_text(encoding="utf-8") == asyncapi.text()


def test_the_asyncapi_document_has_every_topic_and_its_references_lead_somewhere():
    """Every topic is a channel by its default or usual name, and each file and message exists."""
    document = yaml.safe_load(asyncapi.DOCUMENT.read_text(encoding="utf-8"))
    topics = set(TopicSettings(latest=asyncapi.LATEST).names().values())
    assert {channel["address"] for channel in document["channels"].values()} == topics
    found = list(_references(document))
    assert {"./bond_tick.avsc", *(f"./{name}.schema.json" for name in NAMES)} <= set(found)
    for reference in found:
        if reference.startswith("./"):
            assert (SCHEMAS / reference).is_file()
        else:
            part = document
            for name in reference.removeprefix("#/").split("/"):
                part = part[name]


def _references(part):
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)


def changes(old, new, place=""):
    """Yield what of a schema is gone or changed; texts for people and new parts do not matter."""
    match old, new:
        case dict(), dict():
            for name, part in old.items():
                where = f"{place}/{name}"
                if name in {"description", "examples", "title", "$id"}:
                    continue
                if name not in new:
                    yield f"{where} is gone"
                elif name in {"enum", "required"}:
                    yield from (f"{where} lacks {each}" for each in part if each not in new[name])
                else:
                    yield from changes(part, new[name], where)
        case list(), list():
            if len(new) < len(old):
                yield f"{place} has fewer parts"
            for number, (part, other) in enumerate(zip(old, new, strict=False)):
                yield from changes(part, other, f"{place}/{number}")
        case _:
            if old != new:
                yield f"{place} changes from {old} to {new}"


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_added_and_never_changed(name):
    """Every field, kind and rule of a released JSON Schema is still there."""
    found = sorted((SCHEMAS / "released").glob(f"{name}-*.schema.json"))
    assert found
    for released in found:
        assert list(changes(json.loads(released.read_text()), published(name))) == []


def test_a_changed_schema_is_noticed():
    """A type, a field, a kind and a required field that are gone are each named."""
    old = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"enum": [1, 2]}}}
    assert list(changes(old, old | {"more": 1})) == []
    wrong = {"type": "object", "required": [], "properties": {"a": {"type": ["string", "null"]}, "b": {"enum": [1]}}}
    assert list(changes(old, wrong)) == [
        "/required lacks a",
        "/properties/a/type changes from string to ['string', 'null']",
        "/properties/b/enum lacks 2",
    ]
    assert list(changes(old, {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}})) == [
        "/properties/b is gone"
    ]
