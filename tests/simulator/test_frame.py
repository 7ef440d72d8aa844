"""Data frames, plain and encrypted."""

import base64

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simulator import frame
from simulator.reply import Keys


def test_plain():
    """Records follow a count of three digits, joined by carets."""
    assert frame.plain(["a^b", "c^d"]) == b"0|H0BJCNT0|002|a^b^c^d"
    assert frame.plain(["a^b"], trailing_caret=True) == b"0|H0BJCNT0|001|a^b^"


def test_encrypted():
    """The fourth part is base64 of AES-256-CBC, with the bytes of the texts as key and IV."""
    keys = Keys("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
    head, _, sealed = frame.encrypted(["a^국고"], keys).rpartition(b"|")
    decryptor = Cipher(algorithms.AES256(keys.key.encode()), modes.CBC(keys.iv.encode())).decryptor()
    padded = decryptor.update(base64.b64decode(sealed, validate=True)) + decryptor.finalize()
    assert head == b"1|H0BJCNT0|001"
    assert padded == "a^국고".encode() + bytes([8]) * 8
