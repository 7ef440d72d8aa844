"""Tests of `kis-bond coverage` with a real Kafka."""

import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from connector.cli import coverage
from tests.cli.coverage_records import DAY, A, B, C, hole, record
from tests.kafka.reader import create_topics

ON = ("--date", DAY.isoformat())


@pytest.fixture
def write(kafka, topic_names, produce):
    """Create the topics, and return a function that writes records of a date by bond."""
    topics = {topic_names.ticks: 2, topic_names.coverage: 2, topic_names.status: 1}
    create_topics(kafka.bootstrap_servers, {topic_names.status: 1}, cleanup_policy="compact")
    create_topics(kafka.bootstrap_servers, {name: count for name, count in topics.items() if count > 1})

    def to_topic(day=DAY, **records):
        for isin, value in records.items():
            produce(topic_names.coverage, f"{isin}/{day}", json.dumps(value).encode())

    return to_topic


@pytest.fixture
def want(topic_names, produce):
    """Return a function that says since when a bond is wanted."""

    def to_topic(isin, since):
        value = {"state": "ACTIVE", "wanted_since": since}
        produce(topic_names.status, f"instrument/{isin}", json.dumps(value).encode())

    return to_topic


def test_a_table_of_what_is_covered_and_what_is_missing(cli, variables, write, want):
    """One row a bond, its open holes below it with times and causes, and the sums."""
    write(
        **{
            A: record("HOLES", holes=[hole(100, 350), hole(400, 500, state="FILLED")], by=None),
            B: record(by="ticks"),
            "KR2033022D33": record("HOLES", holes=[hole(0, 10, "unknown", "CONFIRMED", after=None)]),
        }
    )
    want(C, "2026-09-11T00:00:00Z")
    result = cli("coverage", *ON, **variables)
    assert result.exit_code == 0, result.stderr
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "instrument    state             covered /           total       %  note",
        "KR103502GA34  HOLES                 750 /           1,000   75.00",
        "  10:02:11 to 10:03:05 KST 250 missing: closed",
        "KR103502GD31  COMPLETE            1,000 /           1,000  100.00  by ticks",
        "KR2033022D33  HOLES                 990 /           1,000   99.00",
        "  --:--:-- to 10:03:05 KST 10 missing: unknown, KIS confirms",
        "KR6095572D81  ABSENT                  - /               -       -",
        "4 bonds: 1 COMPLETE, 2 HOLES, 1 ABSENT",
        "covered 2,740 of the 3,000 that were wanted (91.33 %)",
        "missing 260; traded before anybody asked 0",
        "by ticks: KIS was not asked for the day's volume, so nothing after the last trade is excluded",
    ]


def test_json_has_the_records_as_they_are(cli, variables, write):
    """One object a line: the record with its instrument, and the sum at the end."""
    write(**{A: record(), B: record("HOLES", holes=[hole(100, 350)])})
    lines = [json.loads(line) for line in cli("coverage", *ON, "--json", **variables).stdout.splitlines()]
    assert lines[:2] == [{"instrument": A, **record()}, {"instrument": B, **record("HOLES", holes=[hole(100, 350)])}]
    (last,) = lines[2:]
    assert last["sum"].items() >= {"bonds": 2, "missing_volume": 250, "auditor_behind": False}.items()


def test_missing_leaves_out_what_is_complete(cli, variables, write):
    """The sums are still those of all bonds."""
    write(**{A: record(), B: record("OPEN")})
    lines = [json.loads(line) for line in cli("coverage", *ON, "--missing", "--json", **variables).stdout.splitlines()]
    assert [line.get("instrument") for line in lines] == [B, None]
    assert lines[1]["sum"]["bonds"] == 2


def test_csv_has_a_row_for_each_bond(cli, variables, write, tmp_path):
    """The file can be read by a spreadsheet."""
    write(**{A: record("HOLES", holes=[hole(100, 350)])})
    path = tmp_path / "day.csv"
    assert cli("coverage", *ON, "--csv", path, **variables).exit_code == 0
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["instrument"] == A
    assert (row["state"], row["missing_volume"], row["open_holes"], row["checked_by"]) == ("HOLES", "250", "1", "rest")
    result = cli("coverage", *ON, "--csv", tmp_path / "no" / "day.csv", **variables)
    assert (result.exit_code, "could not be written" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (record(), 0),
        (record(holes=[hole(0, 10, "not_wanted")]), 0),
        (record("OPEN"), 5),
        (record("HOLES", holes=[hole(100, 350)]), 5),
        (record("UNPROVEN", reason="law"), 5),
    ],
)
def test_strict_ends_with_5_unless_all_is_proven(cli, variables, write, value, code):
    """A past day has to be complete; volume that nobody asked for does not count."""
    write(**{A: value})
    result = cli("coverage", *ON, "--strict", **variables)
    assert result.exit_code == code
    assert (A in result.stderr) == (code == 5)
    assert cli("coverage", *ON, **variables).exit_code == 0


def test_strict_finds_an_absent_bond(cli, variables, write, want):
    """A wanted bond of which there is no record is not proven."""
    write(**{A: record()})
    want(B, "2026-09-11T14:00:00Z")
    want(C, "2026-09-12T00:00:00Z")
    result = cli("coverage", *ON, "--strict", **variables)
    assert (result.exit_code, result.stderr.strip()) == (
        5,
        f"The ticks of 2026-09-11 are not proven complete for {B}.",
    )
    assert cli("coverage", *ON, "--strict", "--isin", A, **variables).exit_code == 0
    assert cli("coverage", "--date", "2026-09-12", "--strict", **variables).exit_code == 0, "a Saturday"


def test_today_may_be_open(cli, variables, write):
    """The date is today's in Seoul unless another one is given."""
    today = (datetime.now(UTC) + timedelta(hours=9)).date()
    write(today, **{A: record("OPEN", by=None)})
    assert cli("coverage", "--strict", **variables).exit_code == 0


def test_an_auditor_that_is_behind_is_told(cli, variables, write, produce, monkeypatch):
    """What it has not read is in no record."""
    write(**{A: record()})
    produce(variables["TOPICS__TICKS"], A, b"tick")
    monkeypatch.setattr("connector.cli.coverage_topic.BEHIND", timedelta(seconds=-60))
    result = cli("coverage", *ON, "--strict", **variables)
    assert result.exit_code == 5
    assert "the auditor is more than 60 s behind" in result.stdout
    assert "The auditor is more than 60 s behind" in result.stderr


def test_an_unreadable_record_is_told(cli, variables, write):
    """Its bond is absent if it has no good record."""
    write(**{A: {"state": "\x1b[31m"}})
    result = cli("coverage", *ON, **variables)
    assert f"the record of {A} cannot be read" in result.stdout
    assert "1 bonds: 1 ABSENT" in result.stdout


@pytest.mark.parametrize(
    "wrong", [("--date", "soon"), ("--date", "2026-13-01"), ("--date", "0001-01-01"), ("--isin", "bond")]
)
def test_a_malformed_request_ends_with_2(cli, wrong):
    """It is refused before any connection."""
    assert cli("coverage", *wrong, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").exit_code == 2


def test_a_wrong_check_digit_ends_with_2(cli):
    """A mistyped ISIN would only look like a bond without ticks."""
    result = cli("coverage", "--isin", "KR103502GA35", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert "KR103502GA34 would be right" in result.stderr


def test_kafka_away_ends_with_5(cli):
    """Nothing can be said without Kafka."""
    assert cli("coverage", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").exit_code == 5


def test_lines_fit_into_80_columns():
    """The largest figures and longest causes that occur are shown whole on a small terminal."""
    large = 999_999_999_999
    worst = hole(0, large, "registration_lost", "CONFIRMED", remaining=[[0, large - 1]])
    row = coverage.Row(A, record("UNPROVEN", total=large, holes=[worst], reason="taken_back"))
    assert cell_len(coverage._line(row).plain) <= 80
    assert len(coverage._hole_line(hole(0, 99_999_999, "registration_lost", "CONFIRMED"))) <= 80
    assert len(coverage.HEADING) <= 80


def test_foreign_text_reaches_no_terminal():
    """Anyone may write a cause."""
    assert "\x1b" not in coverage._hole_line(hole(0, 10) | {"cause": "\x1b[31m"})


def test_only_what_is_whole_is_a_hundred_percent():
    """A share is rounded down."""
    assert [coverage._percent(*each) for each in ((999_999, 1_000_000), (1, 1), (0, 3), (0, 0))] == [
        "99.99",
        "100.00",
        "0.00",
        "-",
    ]
