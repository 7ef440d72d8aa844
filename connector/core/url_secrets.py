"""Hides what a URL tells of its user: name and password, query and fragment."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "********"
_BEFORE_USER: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/+|")
# An input method may type the @ in another width.
_AT_SIGNS: Final = str.maketrans("\uff20\ufe6b", "@@")
_QUERY: Final = re.compile(r"[?#]")
_NEXT_URL: Final = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # registry.url takes several URLs


def without_secrets(url: str) -> str:
    """Return a URL, however malformed, as messages may show it."""
    place = _BEFORE_USER.match(url)
    begin = place.end() if place else 0
    return url[:begin] + _without_user(url[begin:])


def without_url_secrets(text: str) -> str:
    """Return a text without the secrets of the URLs in it."""
    return re.sub(r"\S+", lambda word: ",".join(map(_shown, _NEXT_URL.split(word[0]))), text)


def _shown(word: str) -> str:
    before, separator, after = word.partition("://")
    if separator:
        return before + separator + _without_user(after)
    # As in https:user:password@host. An address without a colon, as a@b, has no password.
    return without_secrets(word) if ":" in word.rpartition("@")[0] else word


def _without_user(text: str) -> str:
    """Return what follows a URL's scheme, without user, password, query and fragment.

    A password may hold any sign, so everything before the last @ is hidden. If a query may begin
    before it, everything after it is, too.
    """
    user, at, place = text.translate(_AT_SIGNS).rpartition("@")
    if _QUERY.search(user):
        return HIDDEN
    end = next((found.start() + 1 for found in _QUERY.finditer(place)), len(place))
    return f"{HIDDEN if user else ''}{at}{place[:end]}{HIDDEN if place[end:] else ''}"
