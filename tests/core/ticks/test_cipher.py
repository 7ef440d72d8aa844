"""Payloads are opened with the key they were sealed with, and with no other."""

from connector.core.cipher_key import CipherKey
from connector.core.ticks.cipher import decrypt

# Sealed by `openssl enc -aes-256-cbc -K <hex of key> -iv <hex of iv> -base64 -A` from "국고^131743".
SEALED = "t7hKMDOxCT0wSt/o1bOg2w=="
KEY = CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")


def test_what_openssl_sealed_is_opened():
    """Key and IV are the characters' UTF-8 bytes, neither base64 nor hexadecimal."""
    assert decrypt(SEALED, KEY) == "국고^131743"


def test_a_key_that_does_not_fit_gives_nothing():
    """A wrong key, a key of the wrong size and damaged base64 all give None."""
    assert decrypt(SEALED, KEY._replace(key="x" * 32)) is None
    assert decrypt(SEALED, KEY._replace(key="short")) is None
    assert decrypt(SEALED[:-3], KEY) is None
