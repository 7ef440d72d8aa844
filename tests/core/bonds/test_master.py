"""The bond master file, read from lines that the tests compose."""

import contextlib
import struct
import unicodedata
import zipfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.bonds.master import (
    MAX_BYTES,
    BadRow,
    Bond,
    Listing,
    Master,
    in_few_lines,
    read,
    search,
    unpack,
    warnings,
)
from connector.errors import RequestMalformed
from tests.bond_rows import ISIN, NAME, OTHER, row, sample, zipped
from tests.cpu_time import is_within

TODAY = date(2026, 11, 25)
SAMPLE = Path(__file__).parents[2] / "data/composed/bond_code.mst"


def only(line):
    """Return the one bond of a file with this one line."""
    [bond] = read(line).bonds.values()
    return bond


def fault(line):
    """Return what is wrong with the one line of a file."""
    master = read(line)
    assert (master.bonds, master.lines) == ({}, 1)
    [bad] = master.bad_rows
    assert bad.line == 1
    return bad.problem


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_short_and_long_lines(long, end):
    """Lines of 82 and of 106 bytes give the same bond, whatever ends them."""
    line = row("A0", "GA", interest="13", listed="20230310", issued="20230311", redeemed="20530312", long=long)
    assert len(line) == (106 if long else 82)
    dates = date(2023, 3, 10), date(2023, 3, 11), date(2053, 3, 12)
    assert only(line + end) == Bond(ISIN, NAME, (Listing("A0", "GA", "13"),), *dates)


def test_the_sample_is_what_its_rule_makes():
    """The sample in tests/data is what the builder composes."""
    assert SAMPLE.read_bytes() == sample()


def test_each_line_of_the_sample():
    """Every line belongs to a bond or is reported with its number and its fault."""
    master = read(SAMPLE.read_bytes())
    assert list(master.bonds) == [ISIN, OTHER, "KR310101GC38", "KR6000001D33"]
    assert [str(bad) for bad in master.bad_rows] == [
        "line 6: listing date '20231301' is not a date such as 20251231",
        "line 7: standard code 'KR6000003D33' is not an ISIN: its check digit is wrong",
        "line 8: name '마��' is not cp949 at its byte 3",
        "line 9: is 66 bytes long instead of 82 or 106",
        f"line 10: redemption date 2028-11-11 of {OTHER} contradicts 2028-11-10 of an earlier line, which counts",
    ]
    assert master.lines == 10


@pytest.mark.parametrize("blank", ["", "        ", "00000000", b"\0" * 8])
def test_blank_dates(blank):
    """A blank or zero date is unknown, and a bond without a redemption date never matures."""
    bond = only(row(listed=blank, issued=blank, redeemed=blank))
    assert (bond.listed, bond.issued, bond.redeemed) == (None, None, None)
    assert not bond.is_matured(date.max)


@pytest.mark.parametrize("column", ["listed", "issued", "redeemed"])
@pytest.mark.parametrize(
    "text", ["20230229", "2025123 ", "2025W011", "+2025123", "２０２５".encode("cp949"), "x", " 0251231"]
)
def test_bad_dates(column, text):
    """A date that is not a calendar day in eight digits is refused with the column's name."""
    names = {"listed": "listing date", "issued": "issue date", "redeemed": "redemption date"}
    assert fault(row(**{column: text})).startswith(names[column])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("가나" * 10, "가나" * 10),
        ("a" + "가나" * 10, "a" + "가나" * 9 + "가"),
        (b"\xb0\xa1\xb0" + b" " * 37, "가"),
        (b"\xb0\xa1\xb0" + b"\0" * 37, "가"),
        ("", ""),
        ("  가 나  ", "가 나"),
        ("뷁", "뷁"),
    ],
)
def test_names(name, shown):
    """A name is cp949 without padding and without half a pair at the column's end."""
    assert only(row(name=name)).name == shown


@pytest.mark.parametrize("name", [b"\xff", b"\x80", b"\xb0 abc", b"abc\xff", b"\xb0\xa1\xff\xb0\xa1"])
def test_names_in_another_encoding(name):
    """A line is refused if bytes that are not cp949 stand before the end of the name."""
    assert "is not cp949 at its byte" in fault(row(name=name))


@pytest.mark.parametrize("name", ["\x1b[2J", "a\tb", "a\x7f", "a\rb"])
def test_names_that_command_a_terminal(name):
    """A line with a control character is refused, and the message shows it escaped."""
    problem = fault(row(name=name))
    assert problem.endswith("contains a control character")
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("code", "said"), [("kr103502gd31", "12 capitals"), (ISIN[:11], "12 capitals"), (ISIN[:11] + "2", "check digit")]
)
def test_codes_that_are_no_isin(code, said):
    """A standard code that is not an ISIN is refused."""
    assert said in fault(row(isin=code))


def test_unknown_codes_are_kept():
    """Unknown and blank codes are kept, because KIS may add some."""
    assert only(row("Z9", "ZZ", interest="")).listings == (Listing("Z9", "ZZ", ""),)


@pytest.mark.parametrize("column", ["type_", "cls", "interest"])
@pytest.mark.parametrize("code", [b"\xb0\xa1", b"\x1b[", b" A"])
def test_codes_of_other_characters(column, code):
    """A line is refused if a code is not letters and digits."""
    assert "is not letters and digits" in fault(row(**{column: code}))


@pytest.mark.parametrize("length", [0, 1, 81, 83, 105, 107])
def test_other_lengths(length):
    """A line of any other length is refused, an empty one too."""
    assert fault((row(long=True) + b" ")[:length] + b"\n") == f"is {length} bytes long instead of 82 or 106"


def test_only_one_carriage_return_ends_a_line():
    """A second carriage return is part of the line."""
    assert fault(row() + b"\r\r\n") == "is 83 bytes long instead of 82 or 106"


def test_one_isin_under_several_types():
    """An ISIN listed under several types is one bond with each listing once."""
    lines = [
        row("C0", "GA", name="", listed="", redeemed=""),
        row("A0", "GA", name="이름", interest="13", listed="20230311"),
        row("A0", "GA", name="무시", interest="13", listed="20230312"),
    ]
    master = read(b"\n".join(lines))
    listings = Listing("C0", "GA", "03"), Listing("A0", "GA", "13")
    assert master.bonds == {ISIN: Bond(ISIN, "이름", listings, date(2023, 3, 11), date(2023, 3, 10), date(2053, 3, 10))}
    assert (master.bad_rows, master.lines) == ([], 3)


def test_a_bond_matures_on_its_redemption_date():
    """A bond is matured from its redemption date on."""
    bond = only(row(redeemed="20261125"))
    assert not bond.is_matured(date(2026, 11, 24))
    assert bond.is_matured(TODAY)


def test_no_lines():
    """An empty file has no lines."""
    assert read(b"") == Master()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [OTHER, ISIN, "KR6000001D33", "KR310101GC38"]),
        ("국고", [OTHER, ISIN]),
        (unicodedata.normalize("NFD", "국고"), [OTHER, ISIN]),
        ("gd31", [ISIN]),
        ("５３０３(23-2)", [ISIN]),
        ("통안", ["KR310101GC38"]),
        ("none", []),
    ],
)
def test_search(text, found):
    """A search ignores case, width and composition, and lists matured bonds last."""
    assert [bond.isin for bond in search(read(sample()).bonds, text, TODAY)] == found


def test_warnings():
    """Unknown and matured bonds get a warning, others none."""
    assert warnings(read(sample()).bonds, [ISIN, "KR310101GC38", "KR7005930003"], TODAY) == {
        "KR310101GC38": "KR310101GC38 통안03845-2503-02 matured on 2025-03-02.",
        "KR7005930003": "KR7005930003 is not in the bond master. If it is new, run kis-bond bonds update.",
    }


def test_no_warnings_without_a_master():
    """Without a master there are no warnings."""
    assert warnings({}, [ISIN], TODAY) == {}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_with_one_member(method):
    """A zip file gives the content of its only member; other bytes are returned unchanged."""
    assert unpack(zipped(sample(), method=method), "f") == sample()
    assert unpack(sample(), "f") == sample()


@pytest.mark.parametrize("count", [0, 2])
def test_a_zip_with_another_number_of_members(count):
    """A zip file with several members or none is refused."""
    with pytest.raises(RequestMalformed, match=rf"^f is a zip file with {count} members instead of one[.]$"):
        unpack(zipped(*[sample()] * count), "f")


def test_a_zip_bomb(monkeypatch):
    """A member larger than the limit is refused; one of exactly that size is not."""
    monkeypatch.setattr("connector.core.bonds.master.MAX_BYTES", 1 << 20)
    assert len(unpack(zipped(bytes(1 << 20)), "f")) == 1 << 20
    with pytest.raises(RequestMalformed, match="unpacks to more than 1 MiB"):
        unpack(zipped(bytes((1 << 20) + 1)), "f")
    assert MAX_BYTES == 32 << 20


def test_damaged_zips():
    """A zip file that is cut short or has a wrong check sum is refused."""
    whole = zipped(sample(), method=zipfile.ZIP_STORED)
    torn = [whole[:length] for length in range(2, len(whole), 7)]
    changed = bytearray(whole)
    changed[100] ^= 1
    encrypted = bytearray(whole)
    for place in (6, whole.index(b"PK\1\2") + 8):
        struct.pack_into("<H", encrypted, place, 1)
    for raw in [*torn, bytes(changed), bytes(encrypted)]:
        with pytest.raises(RequestMalformed, match=r"^f is a zip file that cannot be opened"):
            unpack(raw, "f")


COLUMNS = {
    "type_": st.sampled_from(["A0", "C0", "F9", "  "]) | st.binary(max_size=2),
    "isin": st.sampled_from([ISIN, OTHER, ISIN[:11] + "2"]) | st.binary(max_size=12),
    "name": st.sampled_from([NAME, b"\xb0" * 40, b"\xb0" * 39]) | st.binary(max_size=41),
    "redeemed": st.sampled_from(["20530310", "20530311", "", "20530230"]) | st.binary(max_size=8),
    "long": st.booleans(),
}
LINES = st.fixed_dictionaries({}, optional=COLUMNS).map(lambda columns: row(**columns)) | st.binary(max_size=110)


@given(st.lists(LINES, max_size=6).map(b"\n".join) | st.binary())
def test_every_line_is_a_bond_or_a_bad_row(raw):
    """Any bytes are read without an exception, and each line is reported once."""
    master = read(raw)
    lines = raw.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    assert master.lines == len(lines)
    bad = {row.line: row for row in master.bad_rows}
    assert len(bad) == len(master.bad_rows)
    alone = {}
    for number, line in enumerate(lines, start=1):
        judged = read(line + b"\n")
        assert len(judged.bonds) + len(judged.bad_rows) == 1
        if number not in bad:
            alone |= {isin: [*alone.get(isin, []), bond] for isin, bond in judged.bonds.items()}
        elif "contradicts" in bad[number].problem:
            [isin] = judged.bonds
            assert {bond.redeemed for bond in alone[isin]} - {None, judged.bonds[isin].redeemed}
        else:
            assert BadRow(1, bad[number].problem) == judged.bad_rows[0]
        assert number not in bad or bad[number].problem.isprintable()
    assert {isin: set(bond.listings) for isin, bond in master.bonds.items()} == {
        isin: {listing for bond in bonds for listing in bond.listings} for isin, bonds in alone.items()
    }


@given(st.binary().map(lambda tail: b"PK" + tail) | st.tuples(st.integers(0, 200), st.binary(max_size=4)))
def test_any_zip_is_opened_or_refused(spoilt):
    """Damaged zip files are unpacked or refused, and raise nothing else."""
    if isinstance(spoilt, tuple):
        place, foreign = spoilt
        raw = zipped(sample())
        spoilt = raw[:2] + raw[2 : 2 + place] + foreign + raw[2 + place + len(foreign) :]
    with contextlib.suppress(RequestMalformed):
        unpack(spoilt, "f")


def test_warnings_of_many_bonds_take_two_lines():
    """All unknown bonds share a line, and so do more than three matured ones."""
    bonds = {each: Bond(each, "x", (), None, None, TODAY) for each in ("M1", "M2", "M3", "M4")}
    unknown = [f"U{number}" for number in range(41)]
    assert in_few_lines(bonds, warnings(bonds, [*bonds, *unknown], TODAY)) == [
        "41 bonds are not in the bond master: U0, U1 and 39 more. If they are new, run kis-bond bonds update.",
        "4 bonds have matured: M1, M2 and 2 more.",
    ]
    assert in_few_lines(bonds, warnings(bonds, ["M1", "U0"], TODAY)) == [
        "U0 is not in the bond master. If it is new, run kis-bond bonds update.",
        f"M1 x matured on {TODAY}.",
    ]


def test_warnings_of_a_full_list_are_put_together_at_once():
    """A list of 20,000 bonds that the master does not know takes two seconds at most."""
    bonds = {"M1": Bond("M1", "x", (), None, None, TODAY)}
    found = warnings(bonds, [f"U{number}" for number in range(20_000)], TODAY)
    assert is_within(2, lambda: in_few_lines(bonds, found))
