"""Bad-input matrix, app keys and approval: files are named, never quoted; sessions go on."""

import os

import pytest
from structlog.testing import capture_logs

from connector.core.kis.approval import Granted, Refused, Unavailable, read_answer
from connector.errors import ConfigurationError
from connector.settings import load
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey, Credentials, require_credentials
from simulator import Simulator
from tests.shell.kis.bench import A, Bench, until

MISSING, PIPE, FOLDER = object(), object(), object()
CONTENTS = {
    "missing": (MISSING, "CRED_MISSING"),
    "named pipe": (PIPE, "CRED_UNREADABLE: could not be read (it is not a regular file)"),
    "folder": (FOLDER, "CRED_UNREADABLE: could not be read (Is a directory)"),
    "empty": (b"", "CRED_EMPTY"),
    "nothing but a newline": (b"\n", "CRED_EMPTY"),
    "two newlines": (b"canary\n\n", "CRED_CHARACTERS"),
    "newline before": (b"\ncanary", "CRED_CHARACTERS"),
    "blank after": (b"canary ", "CRED_CHARACTERS"),
    "blank inside": (b"can ary", "CRED_CHARACTERS"),
    "tab": (b"can\tary", "CRED_CHARACTERS"),
    "NUL": (b"canary\x00", "CRED_CHARACTERS"),
    "BOM inside": (b"can\xef\xbb\xbfary", "CRED_CHARACTERS"),
    "full-width letters": ("ｃａｎａｒｙ".encode(), "CRED_CHARACTERS"),
    "ten megabytes": (b"x" * 10_000_000, "CRED_CHARACTERS"),
    "UTF-16": ("canary".encode("utf-16"), "CRED_NOT_TEXT"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff", "CRED_NOT_TEXT"),
}


def write(path, content):
    """Write a file, or remove it, as a rotation does."""
    path.unlink(missing_ok=True)
    if content is PIPE:
        os.mkfifo(path)
    elif content is FOLDER:
        path.mkdir()
    elif content is not MISSING:
        path.write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with one good pair."""
    (tmp_path / "appkey-0").write_bytes(b"canary-appkey\n")
    (tmp_path / "appsecret-0").write_bytes(b"canary-secret\r\n")
    return tmp_path


def settings(folder):
    """Return settings that name the folder."""
    return load(None, {"KIS_BOND_KIS__CREDENTIALS_DIR": str(folder)})


def test_exactly_one_newline_is_trimmed(folder):
    """One trailing newline, LF or CR LF, is not part of the value."""
    assert require_credentials(settings(folder)).read(0) == AppKey("canary-appkey", "canary-secret")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["appkey-0", "appsecret-0"])
@pytest.mark.parametrize("name", CONTENTS)
def test_an_unusable_file_is_named_and_not_quoted(folder, name, part):
    """An unusable file is one problem at start: path, mistake and fix, but no content."""
    content, words = CONTENTS[name]
    write(folder / part, content)
    with pytest.raises(ConfigurationError) as refused:
        require_credentials(settings(folder))
    (problem,) = refused.value.problems
    assert problem.startswith(f"{folder / part}: {words}")
    assert problem.count(": ") >= 2
    assert "canary" not in problem


@pytest.mark.parametrize("name", CONTENTS)
async def test_a_file_spoilt_while_running_leaves_the_session_and_its_pair(folder, name):
    """If a secret becomes garbage, the session goes on, and the next connect uses the old pair."""
    content, _ = CONTENTS[name]
    credentials = Credentials(settings(folder).kis)
    async with (
        Simulator(app_keys=[("canary-appkey", "canary-secret")]) as kis,
        Bench(kis, credentials=credentials.read).running(A) as bench,
    ):
        await bench.active(A)
        write(folder / "appsecret-0", content)
        await kis.emit_ticks(A)
        await until(lambda: len(bench.journal.raw) == 1)
        assert bench.downs() == []
        with capture_logs() as logs:
            await kis.drop(0)
            await until(lambda: len(kis.connects) == 2)
            await bench.active(A)
    (alarm,) = {str(line["problems"]) for line in logs if line["event"] == "credentials_unreadable"}
    assert str(folder / "appsecret-0") in alarm
    assert "canary" not in alarm


async def test_a_pair_kis_does_not_know_is_refused_with_its_code():
    """A well-formed but wrong pair makes the slot BLOCKED with KIS's code EGW00103."""
    async with Simulator(app_keys=[("another", "secret")]) as kis, Bench(kis).running(A) as bench:
        await until(lambda: bench.feed.view.state == "BLOCKED")
        assert bench.feed.view.code == "EGW00103"
        assert bench.feed.refused is not None


ANSWERS = {
    "a key": (200, b'{"approval_key":"canary-key"}', Granted),
    "200 with an error body": (200, b'{"error_code":"EGW00103","error_description":"canary"}', Refused),
    "200 with an error body of the other shape": (200, b'{"rt_cd":"1","msg_cd":"EGW00103","msg1":"x"}', Refused),
    "an error that may pass": (500, b'{"error_code":"EGW00201"}', Unavailable),
    "429": (429, b"", Unavailable),
    "HTML": (200, b"<html><body>canary</body></html>", Unavailable),
    "empty": (200, b"", Unavailable),
    "not UTF-8": (200, b"\xff\xfe\xff", Unavailable),
    "JSON array": (200, b'["canary"]', Unavailable),
    "deep nesting": (200, b"[" * 100_000, Unavailable),
    "no approval_key": (200, b'{"access_token":"canary"}', Unavailable),
    "approval_key null": (200, b'{"approval_key":null}', Unavailable),
    "approval_key empty": (200, b'{"approval_key":""}', Unavailable),
    "approval_key with a line break": (200, b'{"approval_key":"canary\\nx"}', Unavailable),
    "approval_key of a kilobyte and one": (200, b'{"approval_key":"%s"}' % (b"c" * 1025), Unavailable),
    "key with an error status": (403, b'{"approval_key":"canary"}', Unavailable),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_approval_answer_is_one_of_three(name):
    """An answer grants, refuses for good, or may improve; its text shows only with a code."""
    status, body, kind = ANSWERS[name]
    answer = read_answer(status, body)
    assert type(answer) is kind
    if kind is Unavailable:
        assert "canary" not in repr(answer)
        assert answer.code in {None, "EGW00201"}


FAULTS = [
    "approval-down=503",
    "approval-down=429",
    *(f"approval-body={body}" for body in ("html", "empty", "huge", "cut")),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_spoilt_approval_call_leaves_a_session_and_delays_the_next(fault):
    """Nonsense from the approval service delays only new sessions, until it is good again."""
    async with Simulator(approval_interval_seconds=0) as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        kis.faults.set(fault)
        await kis.emit_ticks(A, 3)
        await until(lambda: len(bench.journal.raw) == 3)
        assert bench.downs() == []
    async with Simulator(approval_interval_seconds=0, faults=[fault]) as kis:
        with capture_logs() as logs:
            async with Bench(kis).running(A) as bench:
                await until(lambda: len(kis.approvals) >= 2, lambda: bench.feed.view)
                assert bench.feed.view.state == "CONNECTING"
                kis.faults.clear()
                await bench.active(A)
        assert bench.feed.refused is None
        assert "<html" not in str(logs) + str(bench.events)


async def test_a_dripping_answer_is_given_up():
    """An answer that arrives byte by byte is given up in time."""
    async with Simulator(faults=["approval-body=drip"]) as kis:
        answer = await ApprovalService(kis.approval_url, timeout_seconds=0.3).request(AppKey("k", "s"))
    assert answer == Unavailable(None, "CRED_APPROVAL: the approval service did not answer within 0.3 s")
