"""Judges whether readers of one tick schema can read the ticks of another.

Apache's implementation of Avro judges both directions. It looks neither at logical types nor at
the order of fields. But a changed scale is a wrong price, and the order of KIS's columns is the
order in KIS's frames, so these are compared here.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException

from connector.core.ticks.same_schema import same_schema

_LONGEST: Final = 300


def incompatibilities(schema: str, other: str, *, is_successor: bool = True) -> list[str]:
    """Return why ticks and readers of the two schemas do not fit, as sentences without a full stop.

    `schema` may follow `other`. If it is not its successor, it may also lack columns of `other`:
    then `other` may be the newer one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logical types that do not fit: these are compared below
            ours, theirs = avro.schema.parse(schema), avro.schema.parse(other)
        our_json, their_json = json.loads(schema), json.loads(other)
        found = [*_of_names(our_json, their_json), *_of_columns(our_json, their_json, is_successor=is_successor)]
    except (AvroException, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return [f"It is no Avro schema of a record: {str(error)[:_LONGEST]}"]
    if not found:
        found += _by_apache(theirs, ours, "a reader of the other schema cannot read its ticks")
        found += _by_apache(ours, theirs, "a reader of it cannot read ticks of the other schema")
    return found


def _of_names(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    our_name, their_name = (f"{each.get('namespace', '')}.{each['name']}".lstrip(".") for each in (ours, theirs))
    if our_name != their_name:
        yield f"The record's name changes from {their_name} to {our_name}"


def _of_columns(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, is_successor: bool) -> Iterator[str]:
    our_fields, their_fields = ({field["name"]: field for field in each["fields"]} for each in (ours, theirs))
    if is_successor:
        yield from (f"{name} is missing" for name in their_fields if name not in our_fields)
    for name, field in their_fields.items():
        if name in our_fields and not _same_type(our_fields[name]["type"], field["type"]):
            yield f"{name} changes its type from {_text(field['type'])} to {_text(our_fields[name]['type'])}"
    columns = zip_longest(*([name for name in each if name.isupper()] for each in (our_fields, their_fields)))
    for place, (our_name, their_name) in enumerate(columns, start=1):
        if our_name and their_name and our_name != their_name:
            yield f"Column {place} of KIS's frame is {our_name} instead of {their_name}"
            return
    yield from _of_defaults(our_fields, their_fields)


def _of_defaults(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name, field in ours.items():
        if name not in theirs and "default" not in field:
            yield f"{name} is new and has no default, so ticks without it cannot be read"
        elif name in theirs and _is_nullable(field["type"]) != _is_nullable(theirs[name]["type"]):
            change = "may become null" if _is_nullable(field["type"]) else "may not be null any more"
            yield f"{name} {change}"


def _is_nullable(avro_type: Any) -> bool:
    return isinstance(avro_type, list) and "null" in avro_type


def _same_type(one: Any, other: Any) -> bool:
    """Whether two types are the same, logical types included, apart from null."""
    return same_schema(*(json.dumps(_without_null(each)) for each in (one, other)), docs=False)


def _without_null(avro_type: Any) -> Any:
    return [each for each in avro_type if each != "null"] if isinstance(avro_type, list) else [avro_type]


def _text(avro_type: Any) -> str:
    return json.dumps(avro_type).replace('"', "")[:_LONGEST]


def _by_apache(reader: avro.schema.Schema, writer: avro.schema.Schema, what: str) -> Iterator[str]:
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.compatible:
        places, messages = (", ".join(sorted(texts)) for texts in (result.locations, result.messages))
        yield f"By Avro's rules, {what}: {messages} at {places}"[:_LONGEST]
