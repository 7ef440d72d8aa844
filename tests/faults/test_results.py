"""Results are written as ledgers, checks and tables with the machine."""

from tests.faults.ledger import Watched, balance
from tests.faults.results import lines, own_checks, table

STATUS = {
    "frames": {"received": 0, "pending": 0, "lost": {}},
    "ticks": {"decoded": 0, "acknowledged": 0},
    "delivery": {"producer_rebuilds": 2},
}


def check(name, figure="0", *, met=True):
    """Return a check as JSON holds it."""
    return {"name": name, "figure": figure, "met": met}


def result(row="A1", **changes):
    """Return a row's result as JSON holds it, with the ledger of one run."""
    watched = Watched({0: 1.5}, 0.25, 80.5, 7.25)
    ledger = balance([], [], [], STATUS, watched, connects=3, stall_seconds=0, exit_code=0)
    return {
        "row": row,
        "variant": "quick",
        "fault": "leader | stopped",
        "expected": "D = 0",
        "met": True,
        "checks": [check("L"), check("M"), check("cuts", "201 (at least 200)")],
        "ledgers": [ledger.as_json() | {"sent": 9504}],
        "error": None,
        "date": "2026-11-25",
        "machine": "Linux, 2 cores",
    } | changes


def test_the_whole_ledger_is_one_line():
    """The line of a ledger has every figure the matrix asks for."""
    (line,) = lines(result())
    assert line == (
        "sent 9,504  received 0  delivered 0  lost 0  missed 0  duplicates 0  inversions 0  "
        "longest gap, s 1.5  time to catch up, s 0.25  "
        "peak memory, MiB 80.5  peak journal, MiB 7.25  connection attempts 3  rebuilds 2"
    )


def test_a_row_without_a_run_has_no_line():
    """A row played on the journal alone has only checks."""
    assert lines(result(ledgers=[])) == []


def test_common_checks_are_shown_if_they_failed():
    """A common check is shown if it failed, or if no ledger has its figure."""
    checks = [check("L"), check("M", "1", met=False), check("cuts", "201")]
    assert [one["name"] for one in own_checks(result(checks=checks))] == ["M", "cuts"]
    assert [one["name"] for one in own_checks(result(checks=checks, ledgers=[]))] == ["L", "M", "cuts"]


def test_the_tables_have_machine_verdict_and_ledger():
    """The machine is named once; own checks and ledgers have a table each."""
    text = table({"A1 quick": result()})
    assert text.startswith("Machine: Linux, 2 cores.\n\n| row | fault |")
    assert (
        "| A1 | leader \\| stopped | D = 0 | cuts 201 (at least 200) | yes | 2026-11-25 | `make faults ARGS=A1` |"
        in text
    )
    assert "| A1 | 9,504 | 0 | 0 | 0 | 0 | 0 | 0 | 1.5 | 0.25 | 80.5 | 7.25 | 3 | 2 |" in text


def test_rows_of_proxies_and_logins_have_another_command():
    """They are played by the target that has what they need."""
    text = table({"F1 quick": result("F1"), "F13 full": result("F13", variant="full")})
    assert "| `make access-test ARGS=F1` |" in text
    assert '| `make access-test ARGS="--full F13"` |' in text


def test_several_machines_are_shown_with_their_rows():
    """If there are several machines, each is shown with its rows."""
    text = table({"A1 quick": result(), "A2 quick": result("A2", machine="Linux, 8 cores")})
    assert text.startswith("* Machine: Linux, 2 cores: A1\n* Machine: Linux, 8 cores: A2\n\n|")


def test_a_row_that_broke_off_says_by_what():
    """A row that broke off shows the first line of its error, without the log after it."""
    error = "Traceback (most recent call last):\n  File x\nAssertionError: not in 900 s; the log ends:\nMore\nLast\n"
    text = table({"A1 quick": result(error=error, checks=[], ledgers=[], met=False)})
    assert "| the row broke off: AssertionError: not in 900 s; the log ends: | **no** |" in text
