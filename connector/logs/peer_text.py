"""Texts of a peer, such as KIS or a broker, before they are shown anywhere."""

from __future__ import annotations

from typing import Final

from connector.logs.setup import clean

LONGEST: Final = 200


def peer_text(text: str) -> str:
    """Return the text without secrets, cut to 200 characters.

    Call it where the text enters: from there it goes into records, events, pages and logs. The cut
    comes last, because half a secret is not recognised. So bound what you read from the peer.
    """
    return clean(text)[:LONGEST].strip()
