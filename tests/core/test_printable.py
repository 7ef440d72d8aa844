"""Foreign text as it is shown."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.printable import printable


@pytest.mark.parametrize("text", ["", "desk 1", "국고03250-5303(23-2)", "café", "ﬁ", "100% [bold]", "a\\b", "🙂"])
def test_ordinary_text_is_unchanged(text):
    """Letters, digits, signs and plain spaces of any language are shown as they are."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("desk\nACTIVE", "desk\\nACTIVE"),
        ("a\tb\rc", "a\\tb\\rc"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x00\x7f\x9b31m", "\\x00\\x7f\\x9b31m"),
        ("KR103502GA34\u200b", "KR103502GA34U+200B"),
        ("a\u2028b\u2029c\u0085d", "aU+2028bU+2029c\\x85d"),
        ("\u202egnp.exe\u2066", "U+202Egnp.exeU+2066"),
        ("\ufeffdesk\u00ad\u00a0\u3000", "U+FEFFdeskU+00ADU+00A0U+3000"),
        ("\ud800", "U+D800"),
        ("\U000e0041\ue000\u0378", "U+E0041U+E000U+0378"),
        ("\u115f\u3164\u2800\u034f\ufe0f", "U+115FU+3164U+2800U+034FU+FE0F"),
    ],
)
def test_what_a_terminal_acts_on_or_hides_is_shown_as_an_escape(text, shown):
    """Control, bidirectional, invisible and unassigned characters are shown as escapes."""
    assert printable(text) == shown


@given(st.text())
def test_no_text_forges_a_line_or_an_escape_sequence(text):
    """The shown text is one line of printable characters, can be encoded, and is stable."""
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert shown.encode().decode() == shown
    assert json.loads(json.dumps(shown)) == shown
    assert printable(shown) == shown
