"""The access token: its request, its answer, and its text."""

import json

import pytest

from connector.core.kis.access_token import AccessToken, from_text, owner_mark, read_token, request_body, to_text
from connector.shell.kis.credentials import AppKey

KEY = AppKey("key0", "secret0")
NOW = 1_800_000_000.0


def test_the_request_names_the_secret_appsecret():
    """The token call has the secret under `appsecret`, unlike the approval call."""
    assert json.loads(request_body(KEY)) == {
        "grant_type": "client_credentials",
        "appkey": "key0",
        "appsecret": "secret0",
    }


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": "", "expires_in": 10},
        {"access_token": "a b", "expires_in": 10},
        {"access_token": "x" * 5_000, "expires_in": 10},
        {"access_token": "x", "expires_in": 0},
        {"access_token": "x", "expires_in": "10"},
        {"access_token": "x", "expires_in": True},
        {"access_token": "x", "expires_in": 10**12},
    ],
)
def test_an_answer_without_a_usable_token(answer):
    """A text no header can carry, or a life that cannot be right, is no token."""
    assert read_token(answer, "owner", NOW) is None


def test_a_token_serves_its_own_key_until_shortly_before_its_end():
    """A token is used for its app key and address alone, until a minute before it ends."""
    owner = owner_mark(KEY, "https://h")
    token = read_token({"access_token": "x", "expires_in": 86_400}, owner, NOW)
    assert token.is_usable(owner, NOW + 86_339)
    assert not token.is_usable(owner, NOW + 86_340)
    assert not token.is_usable(owner_mark(AppKey("key1", "secret0"), "https://h"), NOW)
    assert not token.is_usable(owner_mark(KEY, "https://other"), NOW)
    assert "secret0" not in owner


def test_the_text_comes_back():
    """The text of a token gives the token."""
    token = AccessToken("x", "owner", NOW)
    assert from_text(to_text(token)) == token
