"""Decrypts the payload of an encrypted frame."""

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from connector.core.cipher_key import CipherKey


def decrypt(payload: str, key: CipherKey) -> bytes | None:
    """Return the plaintext of a frame's payload, or None if this key does not fit.

    The payload is base64 of AES-256-CBC with PKCS#7 padding. A register reply brings the key as 32
    characters and the IV as 16. Their UTF-8 bytes are used directly: they are neither base64 nor
    hexadecimal. Every failure returns None, so the answer cannot serve as a padding oracle.
    Source: open-trading-api:examples_llm/kis_auth.py; docs/kis-protocol.md, Encryption.
    """
    try:
        sealed = base64.b64decode(payload, validate=True)
        opener = Cipher(algorithms.AES(key.key.encode()), modes.CBC(key.iv.encode())).decryptor()
        padded = opener.update(sealed) + opener.finalize()
        unpadder = PKCS7(algorithms.AES.block_size).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError):  # ValueError: a key, block or padding of the wrong size
        return None
