"""Which app key pairs are right."""

import pytest

from simulator.app_keys import AppKeys

PAIRS = [("key0", "secret0"), ("key1", "secret1")]


def fields(appkey, secret, grant="client_credentials"):
    """Return what a call names."""
    return {"appkey": appkey, "secretkey": secret, "grant_type": grant}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (fields("key0", "secret0"), (0, None)),
        (fields("key1", "secret1"), (1, None)),
        (fields("key1", "secret0"), (1, "EGW00105")),
        (fields("other", "secret0"), (None, "EGW00103")),
        (fields("", "secret0"), (None, "EGW00102")),
        (fields("key0", 5), (None, "EGW00104")),
        (fields("key0", "secret0", None), (None, "EGW00115")),
        (fields("key0", "secret0", "password"), (None, "EGW00116")),
    ],
)
def test_a_pair_is_judged(asked, answer):
    """A known pair has its number; anything else has the code that refuses it."""
    assert AppKeys(PAIRS).judge(asked, "secretkey") == answer


def test_without_pairs_any_two_texts_do():
    """Without pairs each new app key gets the next number, and keeps it."""
    keys = AppKeys([])
    assert [keys.judge(fields(name, "x"), "secretkey") for name in "aba"] == [(0, None), (1, None), (0, None)]
