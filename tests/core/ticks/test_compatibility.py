"""A schema follows another only if old readers read its ticks and new readers the old ticks."""

import json
from collections.abc import Callable
from decimal import Decimal

import fastavro
import pytest

from connector.core.ticks.compatibility import incompatibilities
from connector.packaged_files import bond_tick

OLD = bond_tick()
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}


def edited(edit: Callable[[dict, list], object]) -> str:
    """Return the schema after an edit of its object and its fields."""
    schema = json.loads(OLD)
    edit(schema, schema["fields"])
    return json.dumps(schema, ensure_ascii=False)


def field(fields, name):
    """Return a field by its name."""
    return next(each for each in fields if each["name"] == name)


def place(fields, name):
    """Return a field's place."""
    return fields.index(field(fields, name))


def column(name, **more):
    """Return a nullable column."""
    return {"name": name, "type": ["null", "string"], "default": None} | more


INCOMPATIBLE = {
    "long to string": (
        lambda _, fields: field(fields, "CNTG_VOL").update(type="string"),
        "CNTG_VOL changes its type from long to string",
    ),
    "another scale": (
        lambda _, fields: field(fields, "STCK_PRPR")["type"].update(scale=2),
        "STCK_PRPR changes its type from",
    ),
    "less precision": (
        lambda _, fields: field(fields, "PRDY_VRSS")["type"][1].update(precision=10),
        "PRDY_VRSS changes its type from",
    ),
    "a decimal without its logical type": (
        lambda _, fields: field(fields, "STCK_PRPR").update(type="bytes"),
        "STCK_PRPR changes its type from",
    ),
    "another unit of time": (
        lambda _, fields: field(fields, "traded_at")["type"].update(logicalType="timestamp-micros"),
        "traded_at changes its type from",
    ),
    "a date as a number": (
        lambda _, fields: field(fields, "trade_date").update(type="int"),
        "trade_date changes its type from",
    ),
    "a column less": (lambda _, fields: fields.pop(place(fields, "PRDY_VOL")), "PRDY_VOL is missing"),
    "a field less": (lambda _, fields: fields.pop(place(fields, "extra")), "extra is missing"),
    "another name of a column": (
        lambda _, fields: field(fields, "BOND_ISNM").update(name="BOND_NAME"),
        "BOND_ISNM is missing",
    ),
    "two columns exchanged": (
        lambda _, fields: fields.insert(2, fields.pop(1)),
        "Column 2 of KIS's frame is STCK_CNTG_HOUR instead of BOND_ISNM",
    ),
    "a column between others": (
        lambda _, fields: fields.insert(3, column("NEW")),
        "Column 4 of KIS's frame is NEW instead of PRDY_VRSS_SIGN",
    ),
    "a new column without default": (
        lambda _, fields: fields.insert(19, {"name": "NEW", "type": "string"}),
        "NEW is new and has no default",
    ),
    "nullable to required": (
        lambda _, fields: field(fields, "BOND_ISNM").update(type="string", default=""),
        "BOND_ISNM may not be null any more",
    ),
    "required to nullable": (
        lambda _, fields: field(fields, "CNTG_VOL").update(type=["null", "long"], default=None),
        "CNTG_VOL may become null",
    ),
    "one more type": (
        lambda _, fields: field(fields, "BOND_ISNM").update(type=["null", "string", "long"]),
        "BOND_ISNM changes its type from",
    ),
    "another namespace": (
        lambda schema, _: schema.update(namespace="kis"),
        "The record's name changes from kis.bond.BondTick to kis.BondTick",
    ),
    "no record": (
        lambda schema, _: (schema.update(type="enum", symbols=["A"]), schema.pop("fields")),
        "It is no Avro schema of a record",
    ),
}


@pytest.mark.parametrize(("edit", "says"), INCOMPATIBLE.values(), ids=INCOMPATIBLE)
def test_an_incompatible_edit_is_named(edit, says):
    """Each edit after which some reader fails, or reads something wrong, is a sentence."""
    assert incompatibilities(edited(edit), OLD)[0].startswith(says)


COMPATIBLE = {
    "none": lambda *_: None,
    "other docs": lambda schema, fields: (schema.update(doc="x"), fields[3].update(doc="y")),
    "a new column": lambda _, fields: fields.insert(19, column("NEW")),
    "three new columns": lambda _, fields: fields.__setitem__(
        slice(19, 19), [column("A"), column("B", type=["null", "long"]), column("C", type=["null", DECIMAL])]
    ),
    "an alias": lambda _, fields: fields[1].update(aliases=["name"]),
    "another order of attributes": lambda _, fields: fields.__setitem__(0, dict(reversed(fields[0].items()))),
    "a type written longer": lambda _, fields: field(fields, "CNTG_VOL").update(type={"type": "long"}),
    "a new field of ours": lambda _, fields: fields.append({"name": "sequence", "type": "long", "default": 0}),
}


@pytest.mark.parametrize("edit", COMPATIBLE.values(), ids=COMPATIBLE)
def test_a_compatible_edit_passes_in_both_directions(edit):
    """New columns after the last, docs and spelling change nothing for readers."""
    assert incompatibilities(edited(edit), OLD) == []
    assert incompatibilities(OLD, edited(edit), is_successor=False) == []


@pytest.mark.parametrize("edit", COMPATIBLE.values(), ids=COMPATIBLE)
def test_fastavro_reads_ticks_across_a_compatible_edit(edit, tmp_path):
    """Another implementation of Avro resolves both directions to the same values."""
    old, new = (fastavro.parse_schema(json.loads(text)) for text in (OLD, edited(edit)))
    tick = {
        "STND_ISCD": "KR103502GA34", "STCK_CNTG_HOUR": "090000", "STCK_PRPR": Decimal(1), "CNTG_VOL": 1, "ACML_VOL": 1,
        "tick_id": "x", "trade_date": 1, "traded_at": 1, "received_at": 1, "source": "ws",
    }  # fmt: skip
    for writer, reader in ((old, new), (new, old)):
        path = tmp_path / "tick"
        with path.open("wb") as file:
            fastavro.schemaless_writer(file, writer, tick)
        with path.open("rb") as file:
            read = fastavro.schemaless_reader(file, writer, reader)
        assert {name: read[name] for name in ("CNTG_VOL", "tick_id", "BOND_ISNM")} == {
            "CNTG_VOL": 1,
            "tick_id": "x",
            "BOND_ISNM": None,
        }


def test_an_older_version_may_lack_columns():
    """After a rollback the tree's schema lacks the columns of a newer version, and still fits."""
    newer = edited(COMPATIBLE["a new column"])
    assert incompatibilities(OLD, newer, is_successor=False) == []
    assert incompatibilities(OLD, newer) == ["NEW is missing"]


@pytest.mark.parametrize("text", ["", "[]", "{", '"string"', '{"type": "record"}', "[" * 5000, "null"])
def test_what_is_no_schema_is_a_sentence(text):
    """A registry may hold anything under the subject."""
    assert incompatibilities(OLD, text)[0].startswith("It is no Avro schema of a record")


def test_apaches_judgement_is_asked(monkeypatch):
    """What our own comparison does not know, Apache's may still refuse."""
    monkeypatch.setattr("connector.core.ticks.compatibility._of_columns", lambda *_, **__: [])
    found = incompatibilities(edited(INCOMPATIBLE["long to string"][0]), OLD)
    assert len(found) == 2
    assert all("By Avro's rules" in each and "not compatible" in each for each in found)
