"""Data frames: `<flag>|<TR_ID>|<count>|<records joined by ^>`."""

import base64
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from simulator.reply import Keys
from simulator.request import TR_ID


def plain(records: Sequence[str], tr_id: str = TR_ID, *, trailing_caret: bool = False) -> bytes:
    """Return the plain frame of `records`."""
    return f"0|{tr_id}|{len(records):03d}|{_payload(records, trailing_caret=trailing_caret)}".encode()


def encrypted(records: Sequence[str], keys: Keys, *, trailing_caret: bool = False) -> bytes:
    """Return the frame of `records` with an encrypted payload.

    The payload is encrypted with AES-256-CBC and PKCS#7 and then written as base64. The AES key and
    the IV are the bytes of the texts in `keys`.
    """
    padder = PKCS7(128).padder()
    padded = padder.update(_payload(records, trailing_caret=trailing_caret).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES256(keys.key.encode()), modes.CBC(keys.iv.encode())).encryptor()
    sealed = base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
    return f"1|{TR_ID}|{len(records):03d}|{sealed}".encode()


def _payload(records: Sequence[str], *, trailing_caret: bool) -> str:
    return "^".join(records) + ("^" if trailing_caret else "")
