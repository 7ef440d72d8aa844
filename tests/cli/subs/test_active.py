"""Waiting until KIS confirmed bonds."""

import json
import threading
import time

from tests.cli.subs.status_records import active, alive

A, B = "KR103502GA34", "KR103502GD31"


def test_wait_until_active(cli, variables, written, produce, topics):
    """--wait ends with 0 once the status topic says ACTIVE of our own record, and an older ACTIVE does not count."""
    produce(topics.control, A, "{}")
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())

    def connector():
        deadline = time.monotonic() + 30
        while len(written()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        produce(topics.status, f"instrument/{A}", active(1))

    thread = threading.Thread(target=connector)
    thread.start()
    result = cli("subs", "add", A, "--wait", "30", **variables)
    thread.join()
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{A} is ACTIVE." in result.stdout


def test_wait_in_vain(cli, variables, produce, topics):
    """--wait ends with 5, naming the bonds that are not ACTIVE and why."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, f"instrument/{B}", active(9, state="REJECTED", code="OPSP8992", message="INVALID"))
    produce(topics.status, "slot/0", alive())
    result = cli("subs", "add", A, B, "--wait", "3", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == ["Not ACTIVE within 3 s:", f"{B} is REJECTED: OPSP8992 INVALID"]


def test_wait_ends_when_the_list_is_refused(cli, variables, produce, topics):
    """A refused list cannot become ACTIVE, so waiting ends at once with the reason."""
    produce(
        topics.status, "list/desk", json.dumps({"state": "REFUSED", "reason": "removal guard: x", "control": {"partition": 0, "offset": 0}})
    )
    result = cli("subs", "add", A, "--list", "desk", "--wait", "60", **variables)
    assert result.exit_code == 5
    assert result.stderr.strip() == "List desk was refused: removal guard: x"
