"""Any text of a peer is shown on one line, without a secret and in linear time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import checks

PARTS = st.sampled_from(
    [
        *("_", "\\", '"', "'", " ", "\t", "=", ":", "a", "1", "-", "/", "\x1b[2J", "\x9b", "\u200b", "국"),
        *(
            "%",
            "%2",
            "%25",
            "&#",
            "&#45;",
            "&amp;",
            "\\u",
            "\\u002d",
            "\n",
            "\xad",
            "\x1b",
            "<br>",
            "U+200B",
            "=",
            "=2D",
        ),
        *('token="', "password: ", "Authorization: Bearer ", '"key": "', "iv='", "OPSP0011 invalid approval : "),
    ]
)
TEXTS = st.lists(PARTS, max_size=4).map("".join)


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=3).map("\n".join) | st.text(max_size=20))
def test_a_peers_text_passes_every_check(text):
    """Whatever part of a text is repeated, its time stays linear and the secret hidden."""
    checks.peer_text(text.encode(errors="replace"))
