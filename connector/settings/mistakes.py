"""Says why a settings model refused a value, as "problem: fix" without the value."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic_core import ErrorDetails

_WORDS = {
    "bool_type": "is neither true nor false: give one of them",
    "bool_parsing": "is neither true nor false: give one of them",
    "string_type": "is not text: put quotes around it",
    "path_type": "is not text: put quotes around it",
}
_NUMBERS = {
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is out of range",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a number",
    "greater_than_equal": "is out of range",
    "less_than_equal": "is out of range",
}
_SIZES = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20}


def explain(
    error: ErrorDetails, known: Mapping[str, Collection[str]], bounds: tuple[float, float] | None = None
) -> str:
    """Return "problem: fix" for one error of pydantic.

    `known` has the setting names by section, `bounds` the least and the greatest number allowed.
    """
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"is not a setting: {_hint('.'.join(str(part) for part in error['loc'][:2]), known)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        return f"is not an allowed value: give {error['ctx']['expected']}"
    if kind in _NUMBERS and bounds:
        least, most = map(shown_bound, bounds)
        return f"{_NUMBERS[kind]}: give a number from {least} to {most}, without a unit"
    return _WORDS.get(kind, f"is not valid ({error['msg']}): correct it")


def bounds_of(annotation: object) -> tuple[float, float] | None:
    """Return the least and the greatest number that a type allows, or None."""
    found = {}
    for part in get_args(annotation):
        for name in ("ge", "le"):
            if (bound := getattr(part, name, None)) is not None:
                found[name] = bound
        for inner in getattr(part, "metadata", ()):
            found |= {name: bound for name in ("ge", "le") if (bound := getattr(inner, name, None)) is not None}
        if below := bounds_of(part):
            return below
    return (found["ge"], found["le"]) if len(found) == 2 else None


def shown_bound(bound: float) -> str:
    """Return a number as a settings file may have it: a whole number of MiB with its unit."""
    unit = next((name for name, size in _SIZES.items() if bound and bound % size == 0), "")
    return f"{int(bound) // _SIZES[unit]}{unit}" if unit else f"{bound:.15g}"


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
