"""Bond masters composed by rule: each column of the published struct in cp949, padded with spaces.

No line of a real file is public. The struct is in koreainvestment/open-trading-api,
stocks_info/종목마스터정보(채권).h. A line ends after the redemption date (82 bytes) or after three
more columns (106 bytes).
"""

import io
import zipfile

# KR103502GD31 and its name are from the portal. The other bonds are made up, and their check
# digits were worked out by hand (ISO 6166).
ISIN, NAME = "KR103502GD31", "국고03250-5303(23-2)"
OTHER = "KR103502GA34"


def row(  # noqa: PLR0917 - as many as a line has columns
    type_="C0",
    cls="GA",
    isin=ISIN,
    name=NAME,
    interest="03",
    listed="20230310",
    issued="20230310",
    redeemed="20530310",
    *,
    long=False,
):
    """Return one line without its end; a long value is cut at the end of its column."""
    widths = [(type_, 2), (cls, 2), (isin, 12), (name, 40), (interest, 2), (listed, 8), (issued, 8), (redeemed, 8)]
    if long:
        widths += [("20230310", 8), ("", 8), ("", 8)]
    return b"".join(
        (value if isinstance(value, bytes) else value.encode("cp949")).ljust(width)[:width] for value, width in widths
    )


def sample():
    """Return the content of `tests/data/composed/bond_code.mst`: every kind of line."""
    lines = [
        row(),
        row("A0", "GA", ISIN, NAME, "13", long=True),
        row("C0", "GA", OTHER, "국고04875-2811(23-9)", "03", "20231110", "20231110", "20281110", long=True),
        row("C0", "MA", "KR310101GC38", "통안03845-2503-02", "01", "20230302", "20230302", "20250302"),
        row(
            "F9",
            "04",
            "KR6000001D33",
            "가람화학제1회무기명식이권부무보증사모전환사채영구",
            "03",
            "20230105",
            "20230105",
            "",
        ),
        row("A0", "CA", "KR6000002D32", "누리건설12-1", "13", "20231301", "20230401", "20270401"),
        row("A0", "CA", "KR6000003D33", "다온전자7-2", "13", "20230501", "20230501", "20270501"),
        row("A0", "CA", "KR6000004D30", b"\xb8\xb6\xff\xff", "13", "20230601", "20230601", "20270601"),
        row("A0", "CA")[:66],
        row("C0", "GA", OTHER, "국고04875-2811(23-9)", "03", "20231110", "20231110", "20281111"),
    ]
    return b"".join(line + b"\r\n" for line in lines)


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    """Return a zip file with these members, named in order."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for number, content in enumerate(members):
            archive.writestr("bond_code.mst" if number == 0 else f"{number}.mst", content)
    return made.getvalue()
