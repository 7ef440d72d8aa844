"""Cleans the texts of a peer, such as KIS or a broker, before they are shown anywhere."""

from __future__ import annotations

from typing import Final

from connector.logs.setup import clean

LONGEST: Final = 200


def peer_text(text: str) -> str:
    """Return the text without secrets, cut to 200 characters.

    Call it where the text enters, before the text goes into records, events, pages and logs. The
    text is cut last, because half a secret would not be recognised. So the caller must bound the
    length of what it reads from the peer.
    """
    return clean(text)[:LONGEST].strip()
