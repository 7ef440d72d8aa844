import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.kis.approval import REFUSED_FOR_GOOD, Granted, Refused, Unavailable, read_answer, request_body

BOTH_SHAPES = [
    {"error_description": "유효하지 않은 AppKey입니다.", "error_code": "EGW00103"},
    {"rt_cd": "1", "msg_cd": "EGW00103", "msg1": "유효하지 않은 AppKey입니다."},
]


def test_secret_goes_under_its_name_here():
    """The secret is sent as `secretkey`, not as `appsecret`."""
    body = json.loads(request_body(SimpleNamespace(appkey="k", appsecret="s")))
    assert body == {"grant_type": "client_credentials", "appkey": "k", "secretkey": "s"}


def test_key_is_granted_and_hidden():
    """A key is read unchanged, and the repr of the answer does not show it."""
    answer = read_answer(200, b'{"approval_key":"35aa-canary"}')
    assert answer == Granted("35aa-canary")
    assert "canary" not in repr(answer)


@pytest.mark.parametrize("body", BOTH_SHAPES)
@pytest.mark.parametrize("status", [200, 403, 500])
def test_both_error_shapes_refuse(body, status):
    """A final code refuses the app key in either shape, with any HTTP status."""
    assert read_answer(status, json.dumps(body).encode()) == Refused("EGW00103", "유효하지 않은 AppKey입니다.")


def test_final_codes_are_those_of_the_contract():
    """Exactly the nine codes of the contract are final."""
    assert {code.removeprefix("EGW") for code in REFUSED_FOR_GOOD} == {
        "00102", "00103", "00104", "00105", "00115", "00116", "00206", "00303", "00304"
    }  # fmt: skip


@pytest.mark.parametrize("code", ["EGW00001", "EGW00002", "EGW00201", "EGW00202", "EGW00203", "EGW00300", "EGW99999"])
def test_other_codes_may_pass(code):
    """Every other code is unavailability: we ask again."""
    assert read_answer(500, json.dumps({"error_code": code}).encode()) == Unavailable(code, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"approval_key":""}',
        b'{"approval_key":7}',
        b'{"approval_key":"a b\\n"}',
        b"\xff{",
        b"[" * 99999,
    ],
)
def test_strange_bodies_are_survived_and_not_quoted(body):
    """A body that is no answer is unavailability, and the message quotes nothing of it."""
    answer = read_answer(200, body)
    assert isinstance(answer, Unavailable)
    assert answer.message.startswith("CRED_APPROVAL: the approval service answered HTTP 200 without")


def test_key_with_an_error_status_is_not_taken():
    """A key counts only with HTTP 200."""
    assert isinstance(read_answer(500, b'{"approval_key":"k"}'), Unavailable)


@given(st.binary())
def test_never_raises(body):
    """Any bytes give an answer."""
    assert isinstance(read_answer(200, body), Granted | Refused | Unavailable)
