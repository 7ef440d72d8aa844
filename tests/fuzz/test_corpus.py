"""Inputs that fuzzing found are checked in every test run."""

from pathlib import Path

import pytest

from tests.fuzz import checks, journal

CORPUS = Path(__file__).parent / "corpus"
TARGETS = {
    "frame": checks.frame,
    "sealed_frame": checks.sealed_frame,
    "control_message": checks.control_message,
    "control_value": checks.control_value,
    "control_key": checks.control_key,
    "peer_text": checks.peer_text,
    "journal": journal.damaged,
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_passes(target):
    """Every input in a target's corpus passes the target's check."""
    check, kept = TARGETS[target], sorted((CORPUS / target).iterdir())
    assert kept
    for path in kept:
        try:
            check(path.read_bytes())
        except BaseException as error:
            error.add_note(f"with {path}")
            raise
