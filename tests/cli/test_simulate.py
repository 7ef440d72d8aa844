"""Tests of the command `simulate`."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import urllib.request

import pytest
from websockets.sync.client import connect


@pytest.fixture
def start():
    """Return a function that starts the command; every process it started is killed at the end."""
    running = []

    def run(*arguments):
        command = [sys.executable, "-m", "connector", "simulate", *arguments]
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "200"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def first_line(process, seconds=60):
    """Return the first line the process prints."""
    readable, _, _ = select.select([process.stdout], [], [], seconds)
    assert readable, "no line came in time"
    return process.stdout.readline()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_prints_its_urls_and_ends_with_zero(start, by):
    """With --json it prints both URLs as JSON once they are served; a signal ends it with 0."""
    process = start("--json")
    urls = json.loads(first_line(process))
    assert set(urls) == {"approval_url", "websocket_url"}
    body = b'{"grant_type":"client_credentials","appkey":"a","secretkey":"b"}'
    with urllib.request.urlopen(urls["approval_url"], data=body, timeout=30) as response:
        assert "approval_key" in json.load(response)
    process.send_signal(by)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_plain_line(start):
    """Without --json both URLs are on one line."""
    assert re.fullmatch(r"approval_url=http://127\S+ websocket_url=ws://127\S+\n", first_line(start("--rate", "1")))


def test_an_unknown_fault_is_refused(start):
    """An unknown fault ends it with 2 before it listens, and the message names the fault."""
    process = start("--fault", "nonsense")
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output == ""
    assert "Fault 'nonsense' is unknown" in errors


def test_list_faults(start):
    """--list-faults prints the faults and ends with 0."""
    process = start("--list-faults")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "malformed: " in output


def test_a_port_already_taken_is_refused(start):
    """A port in use ends it with 2 and a message."""
    taken = json.loads(first_line(start("--json")))["websocket_url"].rpartition(":")[2]
    process = start("--ws-port", taken)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "could not start" in errors


def test_options_reach_the_simulator(start, tmp_path):
    """Capacity and the sent log are those of the command line."""
    urls = json.loads(
        first_line(start("--json", "--capacity", "0", "--rate", "0", "--sent-log", str(tmp_path / "sent.jsonl")))
    )
    body = {"grant_type": "client_credentials", "appkey": "a", "secretkey": "b"}
    with urllib.request.urlopen(urls["approval_url"], data=json.dumps(body).encode(), timeout=30) as response:
        key = json.load(response)["approval_key"]
    header = {"approval_key": key, "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
    with connect(urls["websocket_url"], ping_interval=None) as socket:
        socket.send(json.dumps({"header": header, "body": {"input": {"tr_id": "H0BJCNT0", "tr_key": "KR103502GD31"}}}))
        assert json.loads(socket.recv(timeout=30))["body"]["msg_cd"] == "OPSP0008"
    assert (tmp_path / "sent.jsonl").exists()
