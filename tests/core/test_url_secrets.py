"""Tests of what is shown of a URL."""

import pytest

from connector.core.url_secrets import without_secrets, without_url_secrets
from tests.cpu_time import is_within

PASSWORDS = [
    "canary",
    "a/canary",
    "1/canary",
    "a?canary",
    "a#canary",
    "a@canary",
    "a:canary",
    "a b/canary",
    "a//canary",
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("begin", ["https://", "https:", "https:/", "HTTPS:///", "//", "", "https:\\\\"])
@pytest.mark.parametrize("rest", ["h", "h:8080/x.zip", "h/x?token=canary", "[::1/x#canary"])
def test_no_user_and_no_password_is_shown(password, begin, rest):
    """Whatever signs a password has, and however malformed the URL is, nothing of both is shown."""
    shown = without_secrets(f"{begin}someone:{password}@{rest}")
    assert "canary" not in shown
    assert "someone" not in shown
    assert "********" in shown


@pytest.mark.parametrize("password", [each for each in PASSWORDS if " " not in each])
@pytest.mark.parametrize("begin", ["https://", "https:", "'https://", "(from=https:", "http://h/,https://"])
def test_no_message_shows_a_user_or_a_password(password, begin):
    """URLs in a sentence are hidden as those that stand alone, and the sentence stays."""
    shown = without_url_secrets(f"There is no {begin}someone:{password}@h/x, or so.")
    assert "canary" not in shown
    assert "someone" not in shown
    assert shown.startswith("There is no ")
    assert shown.endswith(" or so.")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h:1/a/b.zip", "https://h:1/a/b.zip"),
        ("https://h:1/a?t=s#f", "https://h:1/a?********"),
        ("https://h/a#f", "https://h/a#********"),
        ("https://u:p@h:1/a?t=s", "https://********@h:1/a?********"),
        ("https://u:p@h?t=s@x", "https://********"),
        ("https://h/a/b@c.zip", "https://********@c.zip"),
        ("http://u:p@[::1/", "http://********@[::1/"),
        ("http://@h/", "http://@h/"),
        ("http://u:p\uff20h/", "http://********@h/"),
        ("http://u:p\ufe6bh/", "http://********@h/"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    """Scheme, host and path stay, unless an @ after them may end a password."""
    assert without_secrets(url) == shown


def test_what_is_shown_of_a_text():
    """All URLs of a text are hidden, also those that a comma joins, and other text stays."""
    shown = without_url_secrets(
        "a http://h:1/x?token=a,canary,https://u:canary@g/#canary (ws://f/?a=canary) why? a@b 12:00"
    )
    assert shown == "a http://h:1/x?********,https://********@g/#******** (ws://f/?******** why? a@b 12:00"


@pytest.mark.parametrize(
    "text",
    ["://" * 50_000, "a" * 200_000, "a,b" * 50_000, ",a://" * 40_000, "a?@" * 60_000, ":@" * 60_000, ":" * 99_999],
)
def test_hiding_is_linear(text):
    """The time to hide the secrets of URLs does not grow faster than the text."""
    assert is_within(2, lambda: without_url_secrets(text))
    assert is_within(2, lambda: without_secrets(text))
