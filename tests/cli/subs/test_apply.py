"""Tests of `kis-bond subs apply` with a real Kafka."""

import json
import threading
import time

import pytest

from connector.cli.subs.apply import describe, summarize
from connector.core.bonds.isin import with_check_digit
from connector.core.lists.apply_file import compare, parse
from connector.core.lists.subscription import Lists
from tests.cli.subs.status_records import accepted, active, alive, refused

A, B = "KR103502GA34", "KR103502GD31"
C = with_check_digit("KR6000011D1")
MANY = [with_check_digit(f"KR{number:09}") for number in range(12)]


@pytest.fixture
def apply(cli, variables, tmp_path):
    """Return a function that applies a file of this text, with options."""

    def run(text, *options, **changed):
        (path := tmp_path / "lists.yaml").write_text(text)
        return cli("subs", "apply", "-f", str(path), *options, **(variables | changed))

    return run


def test_differences_are_shown_and_written(apply, written, produce, topics):
    """New and changed lists are written; a changed one keeps the time of its first request."""
    first = {"instruments": [A], "requested_at": "2026-01-02T03:04:05Z", "requested_by": "me"}
    produce(topics.control, "desk", json.dumps(first))
    produce(topics.control, "fund", json.dumps({"instruments": [A, B]}))
    path = f"desk: {{instruments: [{A}, {B}], priority: 7}}\nfund: [{B}, {A}]\n{C}:\n"
    result = apply(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"+ {C}: 1 bond ({C})",
        f"~ desk: + {B}; priority 5 -> 7",
        "= 1 unchanged",
        "2 lists were written.",
    ]
    new = dict(written()[2:])
    assert set(new) == {C, "desk"}
    assert new["desk"] | {"requested_by": "me"} == first | {"instruments": [A, B], "priority": 7}
    assert new["desk"]["requested_by"] != "me"
    again = apply(path)
    assert again.stdout.splitlines() == ["= 3 unchanged", "Nothing differs."]
    assert len(written()) == 4


def test_a_list_without_a_time_keeps_that_of_its_record(apply, written, produce, topics):
    """An edit keeps the first request time of a list, and so its place in the queue."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    before = time.time()
    apply(f"desk: [{A}, {B}]")
    at = written()[-1][1]["requested_at"]
    assert at <= time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime(before))


def test_prune_removes_lists_the_file_lacks(apply, written, produce, topics):
    """With --prune the lists that are not in the file get tombstones; without it they stay."""
    produce(topics.control, "old", json.dumps({"instruments": [A]}))
    path = f"lists:\n- name: desk\n  instruments: [{B}]\n"
    assert "old" not in apply(path).stdout
    result = apply(path, "--prune")
    assert f"- old: 1 bond ({A})" in result.stdout
    assert written()[-1] == ("old", None)


def test_dry_run_writes_nothing(apply, written):
    """--dry-run shows the differences and writes nothing."""
    result = apply(f"desk: [{A}]", "--dry-run")
    assert result.stdout.splitlines() == [f"+ desk: 1 bond ({A})", "Nothing was written: --dry-run."]
    assert written() == []


def test_a_mass_removal_needs_a_confirmation(apply, written, produce, topics):
    """A mass removal is refused before anything is written, unless --confirm is given."""
    produce(topics.control, "desk", json.dumps({"instruments": MANY}))
    path = f"desk: [{A}]\nnew: [{B}]"
    result = apply(path)
    assert result.exit_code == 2
    assert "List desk: removal guard: this record would have left 2 of 13" in result.stderr
    assert len(written()) == 1
    assert apply(path, "--confirm").exit_code == 0
    assert dict(written()[1:])["desk"]["confirm_removal"] is True
    assert "confirm_removal" not in dict(written()[1:])["new"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"desk: [{A}]\ndesk: [{B}]", "line 2, column 1: this key appears twice"),
        (f"- {{name: desk, instruments: [{A}]}}\n- {{name: desk, instruments: [{B}]}}", "List desk appears twice"),
        ("desk: {instrument: []}", 'List desk: "instrument" is unknown'),
        ("desk: [KR103502GA35]", "KR103502GA35"),
        ("desk: {instruments: [], confirm_removal: true}", "use --confirm"),
        ("desk:", "List desk: instruments is missing"),
        ("7", "The file must map list names to lists"),
        ("- 7", "Entry 1 is not a list"),
        ("", "The file must map list names to lists"),
        ("{}", "The file contains no list."),
        ("desk: [", "correct the YAML there"),
        ("? [a]\n: []", "found unhashable key"),
        ("[" * 3000, "exceeded maximum nesting depth"),
        (f'desk: {{instruments: [{A}], note: "\\ud800"}}', "half a surrogate pair"),
        (f"0123: [{A}]", "83 is not the name of a list: put the name in quotes"),
    ],
)
def test_a_file_with_a_mistake_writes_nothing(apply, text, said):
    """A file with a mistake ends with 2 and a sentence before Kafka is asked."""
    result = apply(text, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Nothing was written." in result.stderr


def test_a_missing_file(cli, tmp_path):
    """A missing file ends with 2, and the message names it."""
    result = cli("subs", "apply", "-f", str(tmp_path / "no.yaml"))
    assert result.exit_code == 2
    assert "no.yaml: the file of lists was not found" in result.stderr


def test_wait_counts_the_bonds_of_the_whole_file(apply, written, produce, topics):
    """Waiting covers the bonds of written and unchanged lists, and --json shows them all."""
    produce(topics.control, "same", json.dumps({"instruments": [A]}))
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, f"instrument/{B}", active(0))
    produce(topics.status, "slot/0", alive())

    def connector():
        deadline = time.monotonic() + 60
        while len(written()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        produce(topics.status, f"instrument/{B}", active(1))

    thread = threading.Thread(target=connector)
    thread.start()
    result = apply(f"same: [{A}]\nnew: [{B}]", "--wait", "30", "--json")
    thread.join()
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["written"], report["offset"]) == (["new"], 1)
    assert [change["change"] for change in report["changes"]] == ["new", "unchanged"]
    assert {row["instrument"]: row["state"] for row in report["instruments"]} == {A: "ACTIVE", B: "ACTIVE"}


def test_wait_in_vain_names_the_bonds_and_the_reasons(apply, produce, topics):
    """A wait in vain ends with 5 and names each missing bond with the reason."""
    produce(
        topics.status,
        f"instrument/{A}",
        active(9, state="WAITING_CAPACITY", slot=None, code="OPSP0008", message="MAX SUBSCRIBE OVER"),
    )
    result = apply(f"desk: [{A}]", "--wait", "2")
    assert result.exit_code == 5
    assert f"{A} is WAITING_CAPACITY: OPSP0008 MAX SUBSCRIBE OVER" in result.stderr


def test_long_lists_are_shortened_and_words_agree():
    """Of a long list five bonds are named and the rest is counted."""
    assert describe(compare(parse({"desk": MANY}), Lists(), prune=False)) == [
        f"+ desk: 12 bonds ({', '.join(MANY[:2])} and 10 more)"
    ]
    assert [summarize(["a"] * n, dry_run=False) for n in (0, 1, 2)] == [
        "Nothing differs.",
        "1 list was written.",
        "2 lists were written.",
    ]


def test_a_held_back_removal_is_released_with_confirm(apply, written, produce, topics):
    """A removal that the connector holds back needs --confirm even if the topic equals the file."""
    produce(topics.control, "desk", '{"instruments": []}')
    produce(topics.status, "list/desk", refused("removal guard: x", 0, MANY))
    result = apply("desk: []")
    assert result.exit_code == 2
    assert "its latest record is not in force: removal guard: x" in result.stdout
    assert "Give --confirm" in result.stderr
    assert len(written()) == 1
    assert apply("desk: []", "--confirm").exit_code == 0
    (name, value) = written()[-1]
    assert (name, value["instruments"], value["confirm_removal"]) == ("desk", [], True)


def test_wait_needs_the_present_record_of_an_unchanged_list(apply, written, produce, topics):
    """ACTIVE by an older record of an unchanged list is no confirmation."""
    produce(topics.control, "desk", json.dumps({"instruments": [B]}))
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())
    result = apply(f"desk: [{A}]", "--wait", "3")
    assert result.exit_code == 5
    assert f"{A} is PENDING: no connector has applied the record at offset 1" in result.stderr
    assert len(written()) == 2


def test_one_list_of_the_file(apply, written):
    """--list, trimmed, applies that list alone; one the file lacks and --prune are refused."""
    text = f"desk: [{A}]\nfund: [{B}]"
    assert apply(text, "--list", "fund\r").exit_code == 0
    assert [name for name, _ in written()] == ["fund"]
    for options, message in (
        (["--list", "nope"], "no list nope in the file"),
        (["--list", "fund", "--prune"], "leave out --list"),
    ):
        result = apply(text, *options)
        assert result.exit_code == 2
        assert message in result.stderr
    assert len(written()) == 1


@pytest.mark.parametrize(
    ("text", "options"),
    [("desk: []", []), (f"desk: {{instruments: [{A}], paused: true}}", []), ("fund: []", ["--prune"])],
)
def test_wait_needs_removals_applied(apply, produce, topics, text, options):
    """--wait waits until the bonds of an emptied, paused or pruned list are released."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    produce(topics.status, "list/desk", accepted([A], 0))
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    produce(topics.status, "slot/0", alive())
    result = apply(text, *options, "--wait", "2")
    assert result.exit_code == 5
    first, *late = result.stderr.splitlines()
    assert first == "Not applied within 2 s:"
    assert f"{A} is ACTIVE and held for desk" in late
    assert "bonds are ACTIVE" not in result.stdout


def test_wait_sees_a_removal_refused_and_applied(apply, written, produce, topics):
    """A refusal by the guard ends the wait with 5; once the bonds are released it ends with 0."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    produce(topics.status, "list/desk", accepted([A], 0))
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    produce(topics.status, "slot/0", alive())

    def connector():
        deadline = time.monotonic() + 60
        while len(written()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        produce(topics.status, "list/desk", refused("removal guard: x", 1, [A]))

    thread = threading.Thread(target=connector)
    thread.start()
    result = apply("desk: []", "--wait", "30")
    thread.join()
    assert (result.exit_code, result.stderr) == (5, "List desk was refused: removal guard: x\n")
    produce(topics.status, "list/desk", accepted([], 1))
    produce(topics.status, f"instrument/{A}", None)
    result = apply("desk: []", "--wait", "30")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["= 1 unchanged", "Nothing differs.", "The connector applied it."]


def test_a_refused_value_among_good_ones_writes_nothing(apply, written):
    """A record above 1 MiB ends with 2 before any batch is sent."""
    result = apply(f"a: [{A}]\nb: {{instruments: [{B}], note: {'x' * 1_100_000}}}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "List b would be refused: the value has 1100" in result.stderr
    assert written() == []


def test_json_shows_half_a_surrogate_pair(apply, produce, topics):
    """Half a surrogate pair in the topic is shown as its escape, not as a bug after writing."""
    produce(topics.control, "desk", f'{{"instruments": ["{A}"], "note": "\\ud800"}}')
    result = apply(f"desk: [{A}]", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["changes"][0]["fields"] == {"note": {"before": "\ud800", "after": None}}
