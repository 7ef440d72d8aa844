"""The request for an access token, and the answers of a provider."""

import base64
import json

import pytest

from connector.core.oauth import BearerToken, NoToken, basic_credentials, read_answer, request_form


def test_the_form_holds_what_is_given():
    """Scope, audience and extra parameters are sent if they are given; the secret is not there."""
    assert request_form(None, None, None) == {"grant_type": "client_credentials"}
    assert request_form("s", "a", {"resource": "r"}) == {
        "grant_type": "client_credentials",
        "scope": "s",
        "audience": "a",
        "resource": "r",
    }


def test_the_credentials_are_encoded_before_they_are_joined():
    """A colon in the client id cannot end it (RFC 6749, 2.3.1)."""
    assert base64.b64decode(basic_credentials("a:b", "c/ü")) == b"a%3Ab:c%2F%C3%BC"


@pytest.mark.parametrize(
    ("life", "seconds"),
    [({"expires_in": 100}, 100), ({"expires_in": "100"}, 100), ({}, 300)],
    ids=["number", "text", "none"],
)
def test_a_token_is_refreshed_at_four_fifths_of_its_life(life, seconds):
    """The answer names the life; without one it is five minutes."""
    answer = json.dumps({"access_token": "t", "token_type": "bearer", **life}).encode()
    assert read_answer(200, answer, 1000) == BearerToken("t", 1000 + 0.8 * seconds, 1000 + seconds)
    assert "access_token" not in repr(read_answer(200, answer, 1000))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "invalid_client", "error_description": "no"}', "HTTP 401 invalid_client no"),
        (503, b"<html>", "HTTP 503 without a JSON object"),
        (200, b"[]", "HTTP 200 without a JSON object"),
        (200, b"[" * 100_000, "HTTP 200 without a JSON object"),
        (400, b'{"error": ["x"], "error_description": "y"}', "HTTP 400 y"),
        (200, b"{}", "HTTP 200 without a usable bearer token"),
        (200, b'{"access_token": "a b"}', "HTTP 200 without a usable bearer token"),
        (200, b'{"access_token": "t", "token_type": "mac"}', "HTTP 200 without a usable bearer token"),
        *(
            (200, json.dumps({"access_token": "t", "expires_in": life}).encode(), "expires_in")
            for life in (0, -1, True, 1e3, "x", 604_801, None)
        ),
    ],
)
def test_answers_without_a_token(status, body, said):
    """Anything else says what came instead, in the provider's words where they are text."""
    found = read_answer(status, body, 0)
    assert isinstance(found, NoToken)
    assert said in found.said
