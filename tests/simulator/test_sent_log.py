"""The log of what was sent."""

import json

from simulator.sent_log import Sent, SentLog, SentRecord


def test_lines_are_there_after_a_flush(tmp_path):
    """Each frame is one JSON line once flushed; bad records have a reason, bad bytes base64."""
    log = SentLog(keep=False)
    log.open(tmp_path / "sent.jsonl")
    log.add(Sent(1, 0, 3, "ticks", (SentRecord("A", "A^1"), SentRecord("A", "A^x", "FIELD_NUMBER")), encrypted=True))
    log.add(Sent(2, 0, 3, "malformed", raw=b"\xff", reason="FRAME_NOT_UTF8"))
    log.flush()
    first, second = map(json.loads, (tmp_path / "sent.jsonl").read_text(encoding="utf-8").splitlines())
    log.close()
    assert first == {
        "at": 1,
        "app_key": 0,
        "session": 3,
        "kind": "ticks",
        "count": 2,
        "encrypted": True,
        "records": [
            {"tr_key": "A", "raw": "A^1", "good": True},
            {"tr_key": "A", "raw": "A^x", "good": False, "reason": "FIELD_NUMBER"},
        ],
    }
    assert (second["kind"], second["reason"], second["raw_base64"]) == ("malformed", "FRAME_NOT_UTF8", "/w==")
    assert log.sent == []


def test_without_a_file():
    """Without a file frames are logged in memory only."""
    log = SentLog(keep=True)
    log.open(None)
    log.add(Sent(1, 0, 3, "raw", raw=b"x"))
    log.flush()
    log.close()
    assert [sent.raw for sent in log.sent] == [b"x"]
