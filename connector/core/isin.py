"""International Securities Identification Numbers (ISO 6166), the keys of everything this connector handles."""

from __future__ import annotations

import re

_SHAPE = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_FIRST_ELEVEN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}")


def has_shape(text: str) -> bool:
    """Tell whether `text` is two capitals, nine capitals or digits, and one digit, all ASCII; the check digit is not judged."""
    return _SHAPE.fullmatch(text) is not None


def is_valid(text: str) -> bool:
    """Tell whether `text` has the shape of an ISIN and ends in the right check digit."""
    return has_shape(text) and _check_digit(text[:11]) == text[11]


def with_check_digit(first11: str) -> str:
    """Return the whole ISIN; ValueError when `first11` is not two capitals and nine capitals or digits."""
    if _FIRST_ELEVEN.fullmatch(first11) is None:
        raise ValueError(f"{first11!r} is not the beginning of an ISIN")
    return first11 + _check_digit(first11)


def _check_digit(first11: str) -> str:
    # ISO 6166, annex C: a letter counts as the two digits of its place from A=10; then Luhn, doubling from the rightmost digit.
    digits = "".join(str(int(character, 36)) for character in first11)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)
