"""Reads KIS's bond master file, `bond_code.mst`, whose lines have columns of fixed byte lengths.

Source: koreainvestment/open-trading-api, stocks_info/종목마스터정보(채권).h. KIS's own reader
decodes a line and then counts characters from its end. It fails on a line of 106 bytes and on a
line without a redemption date. Our reader cuts a line into columns before it decodes them. A line
has either all or none of the columns from byte 82 on. We do not use these columns.
"""

from __future__ import annotations

import contextlib
import io
import unicodedata
import zipfile
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from connector.core.bonds import isin
from connector.core.phrase import MOST_NAMED, named
from connector.core.printable import printable
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Room for some 300,000 lines. Korea has some ten thousand listed bonds.
MAX_BYTES = 32 << 20

_LENGTHS = {82, 106}
_TYPE, _CLASS, _ISIN, _NAME, _INTEREST = slice(0, 2), slice(2, 4), slice(4, 16), slice(16, 56), slice(56, 58)
_DATES = {"listing date": slice(58, 66), "issue date": slice(66, 74), "redemption date": slice(74, 82)}
_PADDING = b" \0"
_NO_DATES = {b"", b"0" * 8}
_FIRST_OF_PAIR = range(0x81, 0xFF)  # the first byte of a cp949 pair


@dataclass(frozen=True, slots=True)
class Listing:
    """The codes of one row: KIS's `type`, `bond_cls_code` and `bond_int_cls_code`.

    `codes.py` says what the codes mean.
    """

    type: str
    bond_class: str
    interest: str


@dataclass(frozen=True, slots=True)
class Bond:
    """One bond: all rows of one ISIN. A name or date comes from the first row that has one."""

    isin: str
    name: str
    listings: tuple[Listing, ...]
    listed: date | None
    issued: date | None
    redeemed: date | None

    def is_matured(self, on: date) -> bool:
        """Return whether the bond is redeemed on or before `on`, a Seoul date."""
        return self.redeemed is not None and self.redeemed <= on


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that does not describe a bond: its number, counted from 1, and its problem."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


@dataclass(slots=True)
class Master:
    """The bonds of a file by ISIN, in file order. Every line belongs to a bond or is a bad row."""

    bonds: dict[str, Bond] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    lines: int = 0


def unpack(raw: bytes, name: str) -> bytes:
    """Return the content of a zip file's only member, or `raw` itself if it is not a zip file.

    Raises RequestMalformed for an unusable zip file. Its message calls the file `name`.
    """
    if not raw.startswith(b"PK"):
        return raw
    try:
        members, content = _unzip(raw)
    except Exception as error:  # noqa: BLE001 - a damaged archive makes zipfile raise a dozen kinds of errors
        raise RequestMalformed(f"{name} is a zip file that cannot be opened: {error}") from None
    if members != 1:
        raise RequestMalformed(f"{name} is a zip file with {members} members instead of one.")
    if len(content) > MAX_BYTES:
        raise RequestMalformed(f"{name} is a zip file that unpacks to more than {MAX_BYTES >> 20} MiB.")
    return content


def _unzip(raw: bytes) -> tuple[int, bytes]:
    """Return the number of members and, if there is just one, its first MAX_BYTES + 1 bytes."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = archive.infolist()
        if len(members) != 1:
            return len(members), b""
        with archive.open(members[0]) as member:
            return 1, member.read(MAX_BYTES + 1)


def read(raw: bytes) -> Master:
    """Return the bonds and the bad rows of an unpacked file. Never raises."""
    master = Master()
    for number, line in enumerate(_lines(raw), start=1):
        master.lines = number
        try:
            row = _bond(line)
            bond = _merged(master.bonds[row.isin], row) if row.isin in master.bonds else row
        except ValueError as problem:
            master.bad_rows.append(BadRow(number, str(problem)))
        else:
            master.bonds[bond.isin] = bond
    return master


def search(bonds: Mapping[str, Bond], text: str, on: date) -> list[Bond]:
    """Return the bonds whose ISIN or name contains `text`, in the order of their ISINs.

    The search ignores case. Bonds that have matured by the date `on` come last.
    """
    wanted = _searchable(text)
    found = [bond for bond in bonds.values() if wanted in _searchable(bond.isin) or wanted in _searchable(bond.name)]
    return sorted(found, key=lambda bond: (bond.is_matured(on), bond.isin))


def warnings(bonds: Mapping[str, Bond], isins: Iterable[str], on: date) -> dict[str, str]:
    """Return a sentence for each ISIN that is unknown or has matured by the date `on`.

    If `bonds` is empty, there is no master and there are no warnings.
    """
    if not bonds:
        return {}
    judged = {each: _warning(each, bonds.get(each), on) for each in isins}
    return {each: warning for each, warning in judged.items() if warning is not None}


def in_few_lines(bonds: Mapping[str, Bond], found: Mapping[str, str]) -> list[str]:
    """Return `warnings` as lines: all unknown bonds share one, and so do many matured ones."""
    unknown = [each for each in found if each not in bonds]
    matured = [each for each in found if each in bonds]
    few = [found[each] for each in matured]
    if len(few) > MOST_NAMED:
        few = [f"{len(few)} bonds have matured: {named(matured)}."]
    return [*([_unknown(unknown)] if unknown else []), *few]


def _unknown(isins: Sequence[str]) -> str:
    if len(isins) == 1:
        return f"{isins[0]} is not in the bond master. If it is new, run kis-bond bonds update."
    names = named(isins)
    return f"{len(isins)} bonds are not in the bond master: {names}. If they are new, run kis-bond bonds update."


def _warning(each: str, bond: Bond | None, on: date) -> str | None:
    if bond is None:
        return _unknown([each])
    if bond.is_matured(on):
        return f"{each} {printable(bond.name)} matured on {bond.redeemed}."
    return None


def _searchable(text: str) -> str:
    # A terminal may send 국 as three characters, and names contain full-width letters.
    return unicodedata.normalize("NFKC", text).casefold()


def _lines(raw: bytes) -> list[bytes]:
    # A line feed is never part of a cp949 pair.
    lines = raw.split(b"\n")
    return [line.removesuffix(b"\r") for line in (lines if lines[-1] else lines[:-1])]


def _bond(row: bytes) -> Bond:
    """Return the bond of one row. Raises ValueError if the row is malformed."""
    if len(row) not in _LENGTHS:
        raise ValueError(f"is {len(row)} bytes long instead of 82 or 106")
    code = row[_ISIN].decode("ascii", "replace")
    if not isin.is_valid(code):
        fault = "its check digit is wrong" if isin.has_shape(code) else "12 capitals and digits are needed"
        raise ValueError(f"standard code {code!r} is not an ISIN: {fault}")
    codes = Listing(_code("type", row[_TYPE]), _code("class", row[_CLASS]), _code("interest class", row[_INTEREST]))
    return Bond(code, _name(row[_NAME]), (codes,), *(_date(what, row[place]) for what, place in _DATES.items()))


def _code(what: str, raw: bytes) -> str:
    code = raw.rstrip(_PADDING).decode("ascii", "replace")
    if code and not code.isalnum():
        raise ValueError(f"{what} {code!r} is not letters and digits")
    return code


def _name(raw: bytes) -> str:
    """Return the name. If the end of the column cuts a two-byte pair, the first half is dropped."""
    content = raw.rstrip(_PADDING)
    try:
        name = content.decode("cp949")
    except UnicodeDecodeError as error:
        if error.start != len(content) - 1 or content[-1] not in _FIRST_OF_PAIR:
            raise ValueError(
                f"name {content.decode('cp949', 'replace')!r} is not cp949 at its byte {error.start + 1}"
            ) from None
        name = content[: error.start].decode("cp949")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError(f"name {name!r} contains a control character")
    return name.strip()


def _date(what: str, raw: bytes) -> date | None:
    digits = raw.rstrip(_PADDING)
    if digits in _NO_DATES:
        return None
    if len(digits) == 8 and digits.isdigit():
        with contextlib.suppress(ValueError):
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    raise ValueError(f"{what} {digits.decode('ascii', 'replace')!r} is not a date such as 20251231")


def _merged(bond: Bond, row: Bond) -> Bond:
    """Add the listing of another row. Raises ValueError if the row contradicts the bond."""
    if bond.redeemed and row.redeemed and bond.redeemed != row.redeemed:
        earlier = f"{bond.redeemed} of an earlier line, which counts"
        raise ValueError(f"redemption date {row.redeemed} of {bond.isin} contradicts {earlier}")
    return replace(
        bond,
        name=bond.name or row.name,
        listings=tuple(dict.fromkeys(bond.listings + row.listings)),
        listed=bond.listed or row.listed,
        issued=bond.issued or row.issued,
        redeemed=bond.redeemed or row.redeemed,
    )
