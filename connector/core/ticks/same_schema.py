"""Compares Avro schemas by meaning, however their JSON is written.

Source: Avro specification, "Parsing Canonical Form for Schemas". The order of attributes does not
matter, names are compared as full names, and {"type": "long"} is the same as "long". In addition,
docs, defaults and logical types are compared.
"""

from __future__ import annotations

import json
from typing import Any, Final

_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_NAMED: Final = ("record", "error", "enum", "fixed")
# Attributes with these values mean the same as no attribute.
_EMPTY: Final[tuple[tuple[str, object], ...]] = (("aliases", []), ("order", "ascending"))


def same_schema(one: str, other: str, *, docs: bool = True) -> bool:
    """Return whether two texts are Avro schemas with the same meaning.

    Docs are compared only if `docs` is true.
    """
    try:
        return bool(_meaning(json.loads(one), docs=docs) == _meaning(json.loads(other), docs=docs))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return False


def _meaning(schema: Any, *, docs: bool, namespace: str = "") -> Any:
    match schema:
        case str():
            return _full_name(schema, namespace)
        case list():
            return [_meaning(one, docs=docs, namespace=namespace) for one in schema]
        case {"type": dict() | list() as inner, **rest} if not rest.keys() - {"doc"}:
            return _meaning(inner, docs=docs, namespace=namespace)
        case {"type": _}:
            return _meaning_of_type(schema, docs=docs, namespace=namespace)
    return schema


def _meaning_of_type(schema: dict[str, Any], *, docs: bool, namespace: str) -> Any:
    kind = schema["type"]
    kept = {
        name: value
        for name, value in schema.items()
        if (docs or name != "doc")
        and name not in ("namespace", "fields", "items", "values")
        and (name, value) not in _EMPTY
    }
    if kind in _NAMED:
        name = str(schema.get("name"))
        kept["name"] = _full_name(name, schema.get("namespace", namespace))
        namespace = kept["name"].rpartition(".")[0]
    if "fields" in schema:
        kept["fields"] = [_field(field, docs=docs, namespace=namespace) for field in schema["fields"]]
    for part in ("items", "values"):
        if part in schema:
            kept[part] = _meaning(schema[part], docs=docs, namespace=namespace)
    return _full_name(kind, namespace) if kept.keys() == {"type"} else kept


def _field(field: dict[str, Any], *, docs: bool, namespace: str) -> dict[str, Any]:
    kept = {name: value for name, value in field.items() if (docs or name != "doc") and (name, value) not in _EMPTY}
    return kept | {"type": _meaning(field["type"], docs=docs, namespace=namespace)}


def _full_name(name: str, namespace: str) -> str:
    return name if name in _PRIMITIVES or "." in name or not namespace else f"{namespace}.{name}"
