"""Schemas by meaning."""

import json

import pytest

from connector.core.ticks.same_schema import same_schema
from connector.packaged_files import bond_tick

OURS = bond_tick()


def changed(change):
    """Return our schema with one change."""
    schema = json.loads(OURS)
    change(schema)
    return json.dumps(schema)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(json.loads(OURS), separators=(",", ":")),
        json.dumps(json.loads(OURS), indent=8, ensure_ascii=True),
        json.dumps(json.loads(OURS), sort_keys=True, ensure_ascii=False),
        changed(lambda schema: schema.update(name=f"{schema['namespace']}.{schema.pop('name')}", namespace="other")),
        changed(lambda schema: schema["fields"][0].update(type={"type": "string"}, order="ascending", aliases=[])),
        changed(lambda schema: schema.update(aliases=[])),
        OURS.replace('"precision": 18', '"precision": 18.0'),
    ],
)
def test_other_words_for_one_schema(text):
    """Blanks, order, escapes, full names and long forms do not make another schema."""
    assert same_schema(OURS, text)
    assert same_schema(text, OURS)


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema.update(doc="other"),
        lambda schema: schema.update(name="Other"),
        lambda schema: schema.update(namespace="other"),
        lambda schema: schema["fields"].reverse(),
        lambda schema: schema["fields"][0].update(doc="other"),
        lambda schema: schema["fields"][1].update(default="x"),
        lambda schema: schema["fields"][1]["type"].reverse(),
        lambda schema: schema["fields"][4]["type"][1].update(scale=5),
        lambda schema: schema["fields"][4]["type"][1].pop("logicalType"),
    ],
)
def test_another_schema(change):
    """Docs, names, order of fields, defaults and logical types do."""
    assert not same_schema(OURS, changed(change))


def test_docs_may_be_left_out_of_the_comparison():
    """Registries may drop docs; without them the rest is compared."""

    def without_docs(schema):
        for each in (schema, *schema["fields"]):
            each.pop("doc", None)

    assert same_schema(OURS, changed(without_docs), docs=False)
    assert not same_schema(OURS, changed(lambda schema: schema["fields"].pop()), docs=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '"string"',
        "[" * 100_000,
        '{"type": "record", "fields": 5}',
        '{"type": "record", "fields": [1]}',
    ],
)
def test_what_is_not_avro_is_not_our_schema(text):
    """A text that is no Avro schema is another one, however broken."""
    assert not same_schema(text, OURS)
    assert not same_schema(OURS, text)
