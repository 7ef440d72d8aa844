"""Tests of `kis-bond subs ls` with a real Kafka."""

import json

from connector.cli.subs import ls
from connector.cli.subs.ls import show
from connector.core.status.rows import Row
from tests.cli.subs.status_records import SINCE, active, alive, refused
from tests.cpu_time import is_within

A, B = "KR103502GA34", "KR103502GD31"


def test_ls(cli, variables, produce, topics):
    """Ls shows state, slot, lists and reason of each wanted bond, and refused lists on stderr."""
    produce(topics.control, "desk", json.dumps({"instruments": [A, B]}))
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    produce(topics.status, "slot/0", alive())
    produce(topics.status, "list/bad", refused("the value is not JSON", 1))
    table = cli("subs", "ls", **variables)
    assert table.exit_code == 0
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[0] == ["instrument", "state", "slot", "since", "(KST)", "lists", "why"]
    assert lines[1] == [A, "ACTIVE", "0", "01-02", "09:00:00", "desk"]
    assert lines[2][:5] == [B, "PENDING", "-", "-", "desk"]
    assert table.stderr.strip() == "List bad was refused: the value is not JSON"
    report = json.loads(cli("subs", "ls", "--json", **variables).stdout)
    assert [(row["instrument"], row["state"]) for row in report["instruments"]] == [(A, "ACTIVE"), (B, "PENDING")]
    assert report["refused_lists"] == {"bad": "the value is not JSON"}


def test_ls_of_one_list(cli, variables, produce, topics):
    """--list shows only the bonds of that list."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    produce(topics.control, B, "{}")
    report = json.loads(cli("subs", "ls", "--list", "desk", "--json", **variables).stdout)
    assert [row["instrument"] for row in report["instruments"]] == [A]


def test_known_names_are_shown(capsys):
    """Known names have a column beside the ISIN, with - for a missing one."""
    rows = [Row(isin, "PENDING", None, None, (), "", -1) for isin in (A, B)]
    show(rows, {A: "국고04875-2811(23-9)"})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["name", "국고04875-2811(23-9)", "-"]


def test_long_foreign_text_is_cut(capsys, monkeypatch):
    """However wide it may be, a table shows 200 characters of a list's name and 1,000 of others."""
    monkeypatch.setenv("COLUMNS", "2000")
    show([Row(A, "REJECTED", 0, "s", ("n" * 900_000, "desk"), "w" * 900_000, -1)], {})
    line = capsys.readouterr().out.splitlines()[1]
    assert f" {'n' * 200}… (cut, 900000 characters), desk  {'w' * 1000}… (cut, 900000 characters)" in line
    assert len(line) < 1500


def test_where_there_is_little_room_the_reason_is_shown(capsys, monkeypatch):
    """In 80 columns name and time give way to a reason, unless they were asked for."""
    monkeypatch.setenv("COLUMNS", "80")
    rows = [Row(A, "WAITING_CAPACITY", None, SINCE, ("desk",), "no room: the live slots hold 41 bonds", -1)]
    show(rows, {A: "국고04875-2811(23-9)"})
    show(rows, {}, ["instrument", "name", "state", "slot", "since", "why"])
    heading, row, asked, _ = capsys.readouterr().out.splitlines()
    assert heading.split() == ["instrument", "state", "slot", "lists", "why"]
    assert "no room: the live slots hold 41" in row
    assert max(map(len, (heading, row))) <= 80
    assert asked.split() == ["instrument", "name", "state", "slot", "since", "(KST)", "why"]


def test_each_row_is_read_once(capsys, monkeypatch):
    """However many columns a table has."""
    asked, shown = [], ls.seoul_time.of_rfc3339
    monkeypatch.setattr(ls.seoul_time, "of_rfc3339", lambda text: asked.append(text) or shown(text))
    show([Row(A, "ACTIVE", 0, SINCE, ("desk",), "", -1)] * 3, {A: "name"})
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert asked == [SINCE] * 3


def test_many_rows_take_little_time(capsys):
    """A piped table of 20,000 bonds takes a few seconds at most."""
    rows = [Row(A, "ACTIVE", 0, SINCE, ("desk",), "", -1)] * 20_000
    assert is_within(2, lambda: show(rows, {}))
    capsys.readouterr()
    show(rows, {})
    assert len(capsys.readouterr().out.splitlines()) == 20_001


def test_ls_of_an_unknown_list(cli, variables, topics):
    """An unknown list ends with 2, so that a mistyped name does not look like an empty list."""
    result = cli("subs", "ls", "--list", "nope", **variables)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "There is no list nope.\n")


def test_ls_waits_until_all_are_active(cli, variables, produce, topics):
    """--wait ends with 0 once each bond is ACTIVE by the latest record."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    produce(topics.control, "desk", json.dumps({"instruments": [A], "priority": 7}))
    produce(topics.status, "slot/0", alive())
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    late = cli("subs", "ls", "--list", "desk", "--wait", "3", **variables)
    assert late.exit_code == 5
    assert A in late.stdout
    assert f"{A} is PENDING: no connector has applied the record at offset 1" in late.stderr
    produce(topics.status, f"instrument/{A}", active(1, lists=["desk"]))
    assert cli("subs", "ls", "--list", "desk", "--wait", "3", **variables).exit_code == 0


def test_the_name_of_a_list_is_trimmed(cli, variables, produce, topics):
    """A line end that a shell left on the name is no part of it."""
    produce(topics.control, "desk", json.dumps({"instruments": ["KR103502GA34"]}))
    assert cli("subs", "ls", "--list", "desk\r", **variables).exit_code == 0


def test_a_connector_that_does_not_run_is_said(cli, variables, produce, topics):
    """Ls says on stderr when no connector runs, and when no bond is wanted."""
    nobody, nothing = "No connector is running: KIS sends nothing, and changes wait.", "No bond is wanted yet"
    first = cli("subs", "ls", **variables)
    assert (first.exit_code, nobody in first.stderr, nothing in first.stderr) == (0, True, True)
    produce(topics.control, A, "{}")
    produce(topics.status, "slot/0", alive("2026-01-02T00:00:00Z"))
    second = cli("subs", "ls", **variables)
    assert (nobody in second.stderr, nothing in second.stderr) == (True, False)
    produce(topics.status, "slot/0", alive())
    assert cli("subs", "ls", **variables).stderr == ""


def test_columns_are_chosen(capsys, cli):
    """--columns shows these columns in this order, and refuses others before Kafka is asked."""
    show([Row(A, "ACTIVE", 0, SINCE, ("desk",), "", -1)], {}, ["state", "instrument"])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["state", "instrument"], ["ACTIVE", A]]
    result = cli("subs", "ls", "--columns", "state,price", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no column price: choose from instrument, name, state" in result.stderr
