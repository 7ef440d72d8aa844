import pytest

from connector.logs import hide, peer_text

CANARY = "canary-of-a-peer's-text-" + "x" * 40


@pytest.mark.parametrize("before", ["", "invalid approval : ", "x" * 180, "x" * 199])
def test_a_hidden_secret_never_comes_through(before):
    """No part of a secret stays in the text, wherever it stands and wherever the text is cut."""
    hide(CANARY)
    assert "canary" not in peer_text(f"{before}{CANARY} and more")


def test_long_texts_are_cut():
    """A text is cut to 200 characters."""
    assert peer_text("word " * 1000) == ("word " * 40).strip()


def test_other_words_stay():
    """A text without secrets is unchanged."""
    assert peer_text("MAX SUBSCRIBE OVER") == "MAX SUBSCRIBE OVER"
