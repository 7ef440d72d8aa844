"""A payload is decrypted with the key that encrypted it, and with no other."""

from connector.core.cipher_key import CipherKey
from connector.core.ticks.cipher import decrypt

# From "국고^131743" by `openssl enc -aes-256-cbc -K <hex of key> -iv <hex of iv> -base64 -A`.
SEALED = "t7hKMDOxCT0wSt/o1bOg2w=="
KEY = CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")


def test_what_openssl_encrypted_is_decrypted():
    """Key and IV are used as the UTF-8 bytes of their characters, not as base64 or hexadecimal."""
    assert decrypt(SEALED, KEY) == "국고^131743".encode()


def test_a_key_that_does_not_fit_gives_nothing():
    """A wrong key, a key of the wrong size and damaged base64 all give None."""
    assert decrypt(SEALED, KEY._replace(key="x" * 32)) is None
    assert decrypt(SEALED, KEY._replace(key="short")) is None
    assert decrypt(SEALED[:-3], KEY) is None
