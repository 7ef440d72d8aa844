"""Frames that KIS could send, for Hypothesis: a grammar of good ones, and mutations of them."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.fuzz.checks import sealed
from tests.fuzz.second_opinion import KINDS

ISINS = st.sampled_from(["KR103502GA34", "KR103502GD31", "KR6000000001", "KR103502GA35"])
TEXTS = st.text(st.characters(exclude_characters="^|", exclude_categories=["Cs"]), min_size=1, max_size=12)
TIMES = st.times().map(lambda time: time.strftime("%H%M%S"))
DECIMALS = st.from_regex(r"-?[0-9]{1,14}(\.[0-9]{1,4}0{0,3})?", fullmatch=True)
VOLUMES = st.from_regex(r"[0-9]{1,18}", fullmatch=True)
BY_KIND = {"isin": ISINS, "text": TEXTS, "time": TIMES, "decimal": DECIMALS, "volume": VOLUMES}
COLUMNS = [BY_KIND[kind.rstrip("?")] | st.just("") if kind.endswith("?") else BY_KIND[kind] for kind in KINDS.values()]

# Damaging insertions: separators, foreign digits, signs our numbers never have, bad UTF-8.
SPLINTERS = st.sampled_from(
    [
        *(
            b"^",
            b"|",
            b"",
            b"0",
            b"1",
            b"-",
            b"+",
            b".",
            b"e9",
            b" ",
            b"\x00",
            b"\r\n",
            b"\xef\xbb\xbf",
            b"\xff",
            b"NaN",
            b"240000",
        ),
        *("１２".encode(), "²".encode(), "국".encode(), "국".encode()[:2], "국".encode("cp949")),
        *(b"9" * 30, b"001", b"H0BJCNT0", b"0|H0BJCNT0|001|", b"^" * 19),
    ]
)


@dataclass(frozen=True, slots=True)
class GoodFrame:
    """The records of a frame and the way it is written.

    Each record is a list of columns, without empty ones at its end after the nineteenth.
    """

    records: tuple[tuple[str, ...], ...]
    width: int
    zeros: int
    caret: bool
    encrypted: bool

    def render(self) -> bytes:
        """Return the frame's bytes; all records have one width, as when KIS appends columns."""
        payload = (
            "^".join("^".join([*columns, *[""] * (self.width - len(columns))]) for columns in self.records)
            + "^" * self.caret
        )
        count = "0" * self.zeros + str(len(self.records))
        return (
            f"{int(self.encrypted)}|H0BJCNT0|{count}|{sealed(payload.encode()) if self.encrypted else payload}".encode()
        )


@st.composite
def good_records(draw, extra=0):
    """Return any record the schema can hold, with up to `extra` appended columns."""
    columns = [draw(column) for column in COLUMNS]
    columns += draw(st.lists(TEXTS | st.just(""), max_size=extra))
    while len(columns) > len(COLUMNS) and not columns[-1]:
        columns.pop()
    return tuple(columns)


@st.composite
def good_frames(draw):
    """Return any frame with only good records."""
    extra = draw(st.sampled_from([0, 0, 1, 3, 18]))
    records = tuple(draw(st.lists(good_records(extra), min_size=1, max_size=4)))
    width = max(len(columns) for columns in records)
    return GoodFrame(records, width, draw(st.integers(0, 3)), draw(st.booleans()), draw(st.booleans()))


@st.composite
def mutated(draw):
    """Return a good frame's bytes with a few cuts, insertions and repetitions."""
    raw = draw(good_frames()).render()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + draw(st.sampled_from([0, 1, 8, 200])))))
        raw = raw[:start] + draw(SPLINTERS | st.just(raw[start:end] * 2) | st.binary(max_size=3)) + raw[end:]
    return raw
