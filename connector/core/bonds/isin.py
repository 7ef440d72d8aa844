"""International Securities Identification Numbers (ISO 6166), the keys of the ticks."""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_uppercase

from connector.core.printable import printable

LENGTH = 12
_SHAPE = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_FIRST_ELEVEN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}")
# ISO 6166, annex C: each letter becomes two digits, beginning with A=10. The check digit is
# then Luhn's: every second digit is doubled, beginning with the rightmost. Tables make this fast,
# because a list may hold ten thousand ISINs.
_AS_DIGITS = {ord(letter): str(int(letter, 36)) for letter in ascii_uppercase}
_ONCE = bytes.maketrans(b"0123456789", bytes(range(10)))
_TWICE = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))


def has_shape(text: str) -> bool:
    """Return whether `text` is shaped like an ISIN. The check digit is not checked.

    The shape is two capitals, nine capitals or digits, and one digit, all ASCII.
    """
    return _SHAPE.fullmatch(text) is not None


def is_valid(text: str) -> bool:
    """Return whether `text` has the shape of an ISIN and ends in the right check digit."""
    return len(text) == LENGTH and _is_valid(text)


# Cached, because one bond is in many lists and in each new record of a list. The cache has room for
# more ISINs (32,768) than there may be desired bonds.
@lru_cache(maxsize=1 << 15)
def _is_valid(text: str) -> bool:
    return has_shape(text) and _check_digit(text[:11]) == text[11]


def fault(text: str) -> str | None:
    """Return the sentence that says why a text is no ISIN, or None if it is one."""
    if not has_shape(text):
        rule = "it takes two capital letters, nine capitals or digits, and a check digit"
        return f"{printable(text)} is not an ISIN: {rule}."
    if not is_valid(text):
        return f"{text} is not an ISIN: its check digit is wrong, {with_check_digit(text[:11])} would be right."
    return None


def with_check_digit(first11: str) -> str:
    """Return the whole ISIN that begins with `first11`.

    Raises ValueError if `first11` is not two capitals and nine capitals or digits.
    """
    if _FIRST_ELEVEN.fullmatch(first11) is None:
        raise ValueError(f"{first11!r} is not the beginning of an ISIN")
    return first11 + _check_digit(first11)


def _check_digit(first11: str) -> str:
    digits = first11.translate(_AS_DIGITS).encode()[::-1]
    return str(-(sum(digits[1::2].translate(_ONCE)) + sum(digits[::2].translate(_TWICE))) % 10)
