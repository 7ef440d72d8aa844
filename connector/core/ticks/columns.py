"""Reads columns by a strict grammar, and derives a tick's trade date, trade time and identity."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from hashlib import blake2b
from typing import Literal, NamedTuple

from connector.core.seoul_time import SEOUL

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SEOUL_MS = SEOUL.utcoffset(None) // timedelta(milliseconds=1)
ID_DIGITS = 32  # hex digits of a tick_id
VOLUME_DIGITS = 18  # the most that a volume may have
CLOCK_ALLOWANCE_MS = HOUR_MS  # how far a trade time may be after its receive time, because clocks differ

Identity = blake2b
FieldReason = Literal["FIELD_NOT_UTF8", "FIELD_EMPTY", "FIELD_ISIN", "FIELD_TIME", "FIELD_NUMBER", "FIELD_RANGE"]

_VOLUME = re.compile(r"-?[0-9]+")
_HOUR = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])")


class BadColumn(ValueError):
    """A column's text does not fit its type; `detail` is an ASCII sentence."""

    def __init__(self, reason: FieldReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Moment(NamedTuple):
    """When a tick was traded: the Seoul date in days since 1970-01-01, and ms since the epoch."""

    trade_date: int
    traded_at_ms: int


def unscaled(text: str, precision: int, scale: int) -> int:
    """Return a decimal times 10**scale. Raises BadColumn FIELD_NUMBER or FIELD_RANGE."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    if not (whole.isdigit() and text.isascii() and (fraction.isdigit() or not point)):
        raise BadColumn("FIELD_NUMBER", f"{_quoted(text)} is not a decimal number")
    fraction = fraction.rstrip("0")
    if len(whole) > precision - scale or len(fraction) > scale:
        raise BadColumn(
            "FIELD_RANGE", f"{_quoted(text)} has more than {precision - scale} digits before or {scale} after the point"
        )
    number = int(whole + fraction.ljust(scale, "0"))
    return -number if text[0] == "-" else number


def volume(text: str) -> int:
    """Return the number in a volume column. Raises BadColumn FIELD_NUMBER or FIELD_RANGE."""
    if text.isdigit() and text.isascii() and len(text) <= VOLUME_DIGITS:
        return int(text)
    if _VOLUME.fullmatch(text) is None:
        raise BadColumn("FIELD_NUMBER", f"{_quoted(text)} is not a whole number")
    raise BadColumn("FIELD_RANGE", f"{_quoted(text)} is negative or has more than {VOLUME_DIGITS} digits")


def time_of_day_ms(text: str) -> int:
    """Return an HHMMSS text as milliseconds since midnight. Raises BadColumn FIELD_TIME."""
    match = _HOUR.fullmatch(text)
    if match is None:
        raise BadColumn("FIELD_TIME", f"{_quoted(text)} is not HHMMSS")
    hours, minutes, seconds = match.groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000


def moment(time_of_day: int, received_ms: int) -> Moment:
    """Return the moment with this time of day (ms), at the latest an hour after `received_ms`.

    Of all days that fit, the last one is taken. A record has a time but no date. The date follows
    from the recorded receive time, never from the clock, so that a replay finds the same date.
    """
    day = (received_ms + SEOUL_MS + CLOCK_ALLOWANCE_MS - time_of_day) // DAY_MS
    return Moment(day, day * DAY_MS - SEOUL_MS + time_of_day)


def identity(trade_date: date) -> Identity:
    """Return the hash of `YYYY-MM-DD|`, which `tick_id` continues for each tick of that date."""
    return blake2b(f"{trade_date}|".encode(), digest_size=ID_DIGITS // 2)


def tick_id(day: Identity, raw: bytes) -> bytes:
    """Return a tick's id, 32 hex digits, from its day's `identity` and the record's raw bytes.

    The id depends on nothing local, so that all copies of a tick have the same id.
    """
    digest = day.copy()
    digest.update(raw)
    return digest.hexdigest().encode()


def tick_ids(day: Identity, raws: Iterable[bytes]) -> list[bytes]:
    """Return the `tick_id` of each record."""
    copy, digests = day.copy, []
    for raw in raws:
        digest = copy()
        digest.update(raw)
        digests.append(digest.digest())
    digits = b"".join(digests).hex().encode()
    return [digits[at : at + ID_DIGITS] for at in range(0, len(digits), ID_DIGITS)]


def is_utf8(text: str) -> bool:
    """Whether a column has no surrogate escapes, which stand for bytes that are not UTF-8."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


def repaired(text: str) -> str:
    """Return a column's text. If it is not UTF-8, read it as CP949, or return "" if that fails."""
    if is_utf8(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("cp949")
    except UnicodeDecodeError:
        return ""


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "...")
