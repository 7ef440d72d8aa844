"""Opens the payload of an encrypted frame."""

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from connector.core.cipher_key import CipherKey


def decrypt(payload: str, key: CipherKey) -> str | None:
    """Return the plaintext of a frame's fourth part, or None where this key does not fit.

    AES-256-CBC with PKCS#7 padding over base64. Key and IV are the UTF-8 bytes of the 32 and 16 characters of a register reply;
    neither is base64 or hexadecimal. None says only that the key did not fit: no padding oracle.
    Source: open-trading-api:examples_llm/kis_auth.py; kis-protocol §5, Encryption.
    """
    try:
        sealed = base64.b64decode(payload, validate=True)
        opener = Cipher(algorithms.AES(key.key.encode()), modes.CBC(key.iv.encode())).decryptor()
        padded = opener.update(sealed) + opener.finalize()
        unpadder = PKCS7(algorithms.AES.block_size).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (binascii.Error, ValueError):  # UnicodeDecodeError is a ValueError, as is a key or block of the wrong size
        return None
