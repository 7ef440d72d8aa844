"""Says why a settings model refused a value, as "problem: fix" without the value."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic_core import ErrorDetails

_WORDS = {
    "int_type": "is not a whole number: give one",
    "int_parsing": "is not a whole number: give one",
    "int_from_float": "is not a whole number: give one",
    "float_type": "is not a number: give one",
    "float_parsing": "is not a number: give one",
    "finite_number": "is not a number: give one",
    "bool_type": "is neither true nor false: give one of them",
    "bool_parsing": "is neither true nor false: give one of them",
    "string_type": "is not text: put quotes around it",
    "path_type": "is not text: put quotes around it",
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}


def explain(error: ErrorDetails, known: Mapping[str, Collection[str]]) -> str:
    """Return "problem: fix" for one error of pydantic; `known` has the setting names by section."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"is not a setting: {_hint('.'.join(str(part) for part in error['loc'][:2]), known)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"is not an allowed value: give {context['expected']}"
    if kind in _BOUNDS:
        words = kind.replace("_", " ").replace("than equal", "than or equal to")
        return f"is out of range: give a number {words} {context[_BOUNDS[kind]]:g}"
    return _WORDS.get(kind, f"is not valid ({error['msg']}): correct it")


def _hint(unknown: str, known: Mapping[str, Collection[str]]) -> str:
    """Suggest the nearest setting of the section, else one of that name, else the nearest."""
    section, _, name = unknown.partition(".")
    paths = [f"{key}.{leaf}" for key, leaves in known.items() for leaf in leaves]
    candidates = [
        *difflib.get_close_matches(
            unknown, [path for path in paths if path.startswith(f"{section}.")], n=1, cutoff=0.75
        ),
        *(path for path in paths if path.endswith(f".{name or section}")),
        *([] if section in known or name else difflib.get_close_matches(section, known, n=1)),
        *difflib.get_close_matches(unknown, paths, n=1),
    ]
    return f"did you mean {candidates[0]}?" if candidates else "remove it; `kis-bond check` shows all settings"
