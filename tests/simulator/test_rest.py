"""The shapes of refusals."""

import json

import pytest

from simulator import rest


@pytest.mark.parametrize(
    ("code", "shape", "status", "name"),
    [
        ("EGW00103", "gateway", 403, "error_code"),
        ("EGW00103", "rt_cd", 500, "msg_cd"),
        ("EGW00201", "gateway", 500, "msg_cd"),
    ],
)
def test_each_shape(code, shape, status, name):
    """A refusal has the shape asked for; EGW00201 has the recorded one."""
    answer = rest.refusal(code, shape, " quoted")
    body = json.loads(answer.text)
    assert (answer.status, body[name]) == (status, code)
    assert rest.ERRORS[code] + " quoted" in body.values()
