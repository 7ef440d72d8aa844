"""The matrix of bad frames and records, each with its one reason; odd but good ones as well.

Each is made from the portal's sample frame by a named change, so that only this change is wrong.
"""

import base64
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

SAMPLE = (Path(__file__).parents[1] / "data/portal/h0bjcnt0-frame.txt").read_text(encoding="utf-8")
RECORD = SAMPLE.split("|", 3)[3]
NAMES = (
    *("STND_ISCD", "BOND_ISNM", "STCK_CNTG_HOUR", "PRDY_VRSS_SIGN", "PRDY_VRSS", "PRDY_CTRT", "STCK_PRPR", "CNTG_VOL"),
    *("STCK_OPRC", "STCK_HGPR", "STCK_LWPR", "STCK_PRDY_CLPR", "BOND_CNTG_ERT", "OPRC_ERT", "HGPR_ERT", "LWPR_ERT"),
    *("ACML_VOL", "PRDY_VOL", "CNTG_TYPE_CLS_CODE"),
)
ISIN = RECORD[:12]
KEY, IV = "abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef"


class Bad(NamedTuple):
    """A message without a readable record."""

    reason: str
    raw: bytes
    binary: bool = False


class BadField(NamedTuple):
    """A record with one bad column; bytes that are not UTF-8 are surrogate escapes in `text`."""

    reason: str
    field: str
    text: str

    @property
    def record(self):
        """The sample record with the bad column, as bytes."""
        return record(**{self.field: self.text}).encode("utf-8", "surrogateescape")

    @property
    def frame(self):
        """A frame with the bad record between two good ones, as bytes."""
        return b"^".join([frame(RECORD, count="3").encode(), self.record, RECORD.encode()])


def frame(*records, count=None):
    """Return a plain frame's text."""
    return f"0|H0BJCNT0|{f'{len(records):03d}' if count is None else count}|{'^'.join(records)}"


def record(**columns):
    """Return the sample record with some columns changed."""
    values = dict(zip(NAMES, RECORD.split("^"), strict=True)) | columns
    assert tuple(values) == NAMES
    return "^".join(values.values())


def sealed(plain, key=KEY, iv=IV, *, pad=True):
    """Return a payload as KIS encrypts it; without padding, bytes must fill whole blocks."""
    raw = plain if isinstance(plain, bytes) else plain.encode()
    padder = PKCS7(128).padder()
    whole = padder.update(raw) + padder.finalize() if pad else raw
    sealer = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode())).encryptor()
    return base64.b64encode(sealer.update(whole) + sealer.finalize()).decode()


def encrypted(payload, count="001"):
    """Return an encrypted frame's text."""
    return f"1|H0BJCNT0|{count}|{payload}"


def _bad(reason, **messages):
    return {
        name.replace("_", " "): Bad(reason, raw if isinstance(raw, bytes) else raw.encode())
        for name, raw in messages.items()
    }


NINETEENTH = RECORD.rsplit("^", 1)[0]  # eighteen columns

FRAMES: dict[str, Bad] = {
    # Kind.
    "binary message": Bad("FRAME_KIND", SAMPLE.encode(), binary=True),
    "empty binary message": Bad("FRAME_KIND", b"", binary=True),
    "binary message that is not UTF-8": Bad("FRAME_KIND", b"\xff\x00", binary=True),
    # Text.
    "one byte that is not UTF-8": Bad("FRAME_NOT_UTF8", b"\xff"),
    "flag that is not UTF-8": Bad("FRAME_NOT_UTF8", b"\xff" + SAMPLE.encode()),
    "TR in CP949": Bad("FRAME_NOT_UTF8", "0|국고|001|".encode("cp949") + RECORD.encode()),
    "surrogate in UTF-8 in the count": Bad("FRAME_NOT_UTF8", b"0|H0BJCNT0|\xed\xa0\x80|"),
    "bad flag, and a count that is not UTF-8": Bad("FRAME_NOT_UTF8", b"2|x|\xff|"),
    "bad flag, and a record that is not UTF-8": Bad("FRAME_FLAG", b"2|H0BJCNT0|001|\xff"),
    "cut inside a character": Bad("FRAME_ARITY", SAMPLE.encode()[:33]),
    # Header.
    **_bad(
        "FRAME_HEADER",
        empty="",
        NUL="\x00",
        many_NUL="\x00" * 999,
        BOM="\ufeff",
        CR_LF="\r\n",
        blanks="   ",
        two_pipes="||",
        no_payload="0|H0BJCNT0|001",
        no_pipe="H0BJCNT0",
        JSON_array='[{"header":{}}]',
        HTML="<html><body>busy</body></html>",
        one_megabyte_less_a_byte="x" * (2**20 - 1),
    ),
    # Flag.
    **_bad(
        "FRAME_FLAG",
        only_pipes="|" * 40,
        flag_2="2" + SAMPLE[1:],
        flag_00="0" + SAMPLE,
        flag_of_full_width="０" + SAMPLE[1:],
        flag_after_a_blank=" " + SAMPLE,
        flag_after_BOM="\ufeff" + SAMPLE,
        flag_after_NUL="\x00" + SAMPLE,
        flag_after_CR_LF="\r\n" + SAMPLE,
        flag_of_a_kilobyte="x" * 1024 + SAMPLE,
    ),
    # TR.
    **_bad(
        "FRAME_TR",
        TR_of_shares=SAMPLE.replace("H0BJCNT0", "H0STCNT0"),
        TR_in_lower_case=SAMPLE.replace("H0BJCNT0", "h0bjcnt0"),
        TR_empty=SAMPLE.replace("H0BJCNT0", ""),
        TR_and_a_blank=SAMPLE.replace("H0BJCNT0", "H0BJCNT0 "),
        TR_of_the_order_book=SAMPLE.replace("H0BJCNT0", "H0BJASP0"),
    ),
    # Count.
    **{
        f"count {count!a}": Bad("FRAME_COUNT", frame(RECORD, count=count).encode())
        for count in (
            "",
            "0",
            "000",
            "-1",
            "+1",
            "1000",
            "one",
            "1.0",
            " 1",
            "1 ",
            "0x1",
            "１",
            "²",
            "1e0",
            "1_0",
            "9" * 5000,
        )
    },
    # Arity.
    **_bad(
        "FRAME_ARITY",
        no_columns=frame(""),
        width_18=frame(NINETEENTH),
        width_18_in_each_of_two=frame(NINETEENTH, NINETEENTH),
        width_38=frame(RECORD, RECORD, count="001"),
        width_38_by_appended_columns=frame(RECORD + "^x" * 19),
        width_39_with_a_trailing_caret=frame(RECORD + "^x" * 19) + "^",
        two_counted_and_one_there=frame(RECORD, count="002"),
        one_counted_and_three_there=frame(RECORD, RECORD, RECORD, count="001"),
        one_column_too_many_in_one_of_two=frame(RECORD, RECORD + "^x"),
        one_column_too_few_in_one_of_two=frame(RECORD, NINETEENTH),
        caret_in_one_of_two_names=frame(RECORD, RECORD.replace("국고", "국^고")),
        two_trailing_carets_after_three=frame(RECORD, RECORD, RECORD) + "^^",
        count_999_and_one_there=frame(RECORD, count="999"),
        cut_off_in_the_middle=SAMPLE[: len(SAMPLE) // 2],
    ),
}

# Encrypted frames; the session has one key.
CIPHERS: dict[str, Bad] = {
    **_bad(
        "DECRYPT_FAILED",
        no_payload=encrypted(""),
        not_base64=encrypted("not base64!"),
        base64_of_another_alphabet=encrypted(sealed(RECORD).replace("+", "-").replace("/", "_") + "-_"),
        base64_with_line_breaks=encrypted("\r\n".join(sealed(RECORD).partition("A"))),
        base64_without_its_padding=encrypted(sealed("x" * 16).rstrip("=")),
        full_width_text=encrypted("１２３４"),
        plain_record=encrypted(RECORD),
        one_byte=encrypted(base64.b64encode(b"x").decode()),
        half_a_block_more=encrypted(base64.b64encode(base64.b64decode(sealed(RECORD)) + b"12345678").decode()),
        last_block_missing=encrypted(base64.b64encode(base64.b64decode(sealed(RECORD))[:-16]).decode()),
        padding_of_zeros=encrypted(sealed(b"\x00" * 32, pad=False)),
        padding_longer_than_a_block=encrypted(sealed(b"\x11" * 32, pad=False)),
        another_key=encrypted(sealed(RECORD, key="z" * 32)),
        plaintext_not_UTF8_and_short=encrypted(sealed(RECORD.rpartition("^")[0].encode("cp949"))),
    ),
    "count before key": Bad("FRAME_COUNT", encrypted(sealed(RECORD), "000").encode()),
    "opened, and short": Bad("FRAME_ARITY", encrypted(sealed(NINETEENTH)).encode()),
}

DECIMALS = tuple(name for name in NAMES if name.endswith(("PR", "RC", "ERT", "CTRT")) or name == "PRDY_VRSS")
VOLUMES = ("CNTG_VOL", "ACML_VOL", "PRDY_VOL")
REQUIRED = ("STND_ISCD", "STCK_CNTG_HOUR", "STCK_PRPR", "CNTG_VOL", "ACML_VOL")

NO_NUMBER = (
    "-",
    "--1",
    "+1",
    " 1 ",
    "1 ",
    "1e9",
    "1E9",
    "NaN",
    "Infinity",
    "１２",
    "²",
    "1,000",
    "1_000",
    "0x1F",
    "1/2",
    "1\x00",
    "1\r\n",
    "\ufeff1",
)


def _fields():
    for name in REQUIRED:
        yield BadField("FIELD_EMPTY", name, "")
    yield from _not_utf8()
    for text in (
        "KR103502GD3",
        "KR103502GD311",
        "kr103502gd31",
        "KR103502GD3X",
        "K1103502GD31",
        "KR103502GD3１",
        " KR103502GD31",
        "국",
    ):
        yield BadField("FIELD_ISIN", "STND_ISCD", text)
    for text in (
        "240000",
        "126099",
        "120060",
        "13174",
        "1317430",
        "13:17:43",
        "１３１７４３",
        "-11743",
        " 31743",
        "noon",
    ):
        yield BadField("FIELD_TIME", "STCK_CNTG_HOUR", text)
    for name in DECIMALS:
        for text in (*NO_NUMBER, "1.", ".5", "1.2.3"):
            yield BadField("FIELD_NUMBER", name, text)
        for text in ("1" * 15, "0" * 15, "9" * 400, "0.00001", "-0.12345", f"1.{'0' * 399}1"):
            yield BadField("FIELD_RANGE", name, text)
    for name in VOLUMES:
        for text in (*NO_NUMBER, "1.0", "1.5"):
            yield BadField("FIELD_NUMBER", name, text)
        for text in ("-1", "-0", "1" * 19, "9" * 400, str(2**63)):
            yield BadField("FIELD_RANGE", name, text)


def _not_utf8():
    for name in dict.fromkeys((*REQUIRED, *DECIMALS, *VOLUMES)):
        for raw in (b"\xff", b"1\x80", "국".encode("cp949"), "국".encode()[:2], b"\xed\xa0\x80"):
            yield BadField("FIELD_NOT_UTF8", name, raw.decode("utf-8", "surrogateescape"))


FIELDS: dict[str, BadField] = {
    f"{bad.field} {bad.text[:14]!a}{f' of {len(bad.text)}' if len(bad.text) > 14 else ''}": bad for bad in _fields()
}

# Odd but good: the frame, and the `extra` of each of its records.
ACCEPTED: dict[str, tuple[str | bytes, list[list[str]]]] = {
    "the portal's sample": (SAMPLE, [[]]),
    "count 1": (frame(RECORD, count="1"), [[]]),
    "count 4": (frame(*[RECORD] * 4, count="4"), [[]] * 4),
    "count 004": (frame(*[RECORD] * 4, count="004"), [[]] * 4),
    "count 0004": (frame(*[RECORD] * 4, count="0004"), [[]] * 4),
    "count of five thousand digits": (frame(RECORD, count="0" * 4999 + "1"), [[]]),
    "999 records": (frame(*[RECORD] * 999), [[]] * 999),
    **{f"width {19 + more}": (frame(*[RECORD + "^x" * more] * 2), [["x"] * more] * 2) for more in range(1, 19)},
    "one trailing caret": (SAMPLE + "^", [[]]),
    "a trailing caret after three": (frame(*[RECORD] * 3) + "^", [[]] * 3),
    "a trailing caret after width 37": (frame(RECORD + "^x" * 18) + "^", [["x"] * 18]),
    "empty appended columns": (frame(*[RECORD + "^^^"] * 2), [[]] * 2),
    "empty column before an appended one": (frame(RECORD + "^^x"), [["", "x"]]),
    "appended column in one record only": (frame(RECORD + "^x", RECORD + "^"), [["x"], []]),
    "pipe in an appended column": (frame(RECORD + "^a|b"), [["a|b"]]),
    "line break after the frame": (SAMPLE + "\r\n", [[]]),
    "check digit wrong": (frame(record(STND_ISCD="KR103502GD39")), [[]]),
    "ISIN nobody asked for": (frame(record(STND_ISCD="US0378331005")), [[]]),
    "sign and type never seen": (frame(record(PRDY_VRSS_SIGN="Z", CNTG_TYPE_CLS_CODE="99")), [[]]),
    "sign of one blank": (frame(record(PRDY_VRSS_SIGN=" ")), [[]]),
    "name with NUL and BOM": (frame(record(BOND_ISNM="\ufeff국\x00고")), [[]]),
    "name of ten thousand characters": (frame(record(BOND_ISNM="국" * 10_000)), [[]]),
    "name in CP949": (SAMPLE.encode("cp949"), [[]]),
    "name in no encoding": (SAMPLE.encode().replace("국고".encode(), b"\xff"), [[]]),
    "name cut inside a character": (SAMPLE.encode().replace("국고".encode(), "국고".encode()[:5]), [[]]),
    "name in CP949 in one record only": (
        b"^".join([frame(RECORD, count="3").encode(), RECORD.encode("cp949"), RECORD.encode()]),
        [[]] * 3,
    ),
    "encodings in extra": (SAMPLE.encode() + b"^" + "국".encode("cp949") + b"^\xff^x", [["국", "", "x"]]),
    "every column empty that may be": (frame(record(**{name: "" for name in NAMES if name not in REQUIRED})), [[]]),
    "ACML_VOL beyond its documented eight": (frame(record(ACML_VOL="9" * 18)), [[]]),
    "decimals of zero beyond the fourth": (frame(record(STCK_PRPR="10575.0000000")), [[]]),
    "price at its widest": (frame(record(STCK_PRPR="-" + "9" * 14 + ".9999")), [[]]),
}
