"""International Securities Identification Numbers (ISO 6166), the keys of the ticks."""

from __future__ import annotations

import re
from string import ascii_uppercase

_SHAPE = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_FIRST_ELEVEN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}")
# ISO 6166, annex C: a letter counts as two digits, from A=10; then Luhn, doubling from the right.
# These are tables because a list may hold ten thousand ISINs.
_AS_DIGITS = {ord(letter): str(int(letter, 36)) for letter in ascii_uppercase}
_ONCE = bytes.maketrans(b"0123456789", bytes(range(10)))
_TWICE = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))


def has_shape(text: str) -> bool:
    """Return whether `text` is shaped like an ISIN; the check digit is not judged.

    The shape is two capitals, nine capitals or digits, and one digit, all ASCII.
    """
    return _SHAPE.fullmatch(text) is not None


def is_valid(text: str) -> bool:
    """Return whether `text` has the shape of an ISIN and ends in the right check digit."""
    return has_shape(text) and _check_digit(text[:11]) == text[11]


def with_check_digit(first11: str) -> str:
    """Return the whole ISIN that begins with `first11`.

    Raises ValueError if that is not two capitals and nine capitals or digits.
    """
    if _FIRST_ELEVEN.fullmatch(first11) is None:
        raise ValueError(f"{first11!r} is not the beginning of an ISIN")
    return first11 + _check_digit(first11)


def _check_digit(first11: str) -> str:
    digits = first11.translate(_AS_DIGITS).encode()[::-1]
    return str(-(sum(digits[1::2].translate(_ONCE)) + sum(digits[::2].translate(_TWICE))) % 10)
