"""The AES key and IV that a register reply brings and encrypted frames need."""

from typing import NamedTuple


class CipherKey(NamedTuple):
    """AES key and IV of one reply, both as the characters KIS sent."""

    key: str
    iv: str

    def __repr__(self) -> str:
        return "CipherKey(…)"
