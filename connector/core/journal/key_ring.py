"""The cipher keys of the sessions whose frames may still be needed."""

from collections.abc import Iterator, Sequence

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Key


class KeyRing:
    """Keys by slot and session, newest first."""

    def __init__(self) -> None:
        self._keys: dict[tuple[int, int], list[CipherKey]] = {}
        self._ended: dict[tuple[int, int], int] = {}  # the last number given before a later session of the slot

    def add(self, key: Key) -> None:
        """Add a session's newest key."""
        known = self._keys.setdefault((key.slot, key.session), [])
        if key.key not in known:
            known.insert(0, key.key)
        for slot, session in self._keys:
            if slot == key.slot and session < key.session:
                self._ended.setdefault((slot, session), key.seq)

    def add_older(self, key: Key) -> None:
        """Add a key that was found in an earlier part of the log."""
        known = self._keys.setdefault((key.slot, key.session), [])
        if key.key not in known:
            known.append(key.key)

    def get(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return the session's keys."""
        return self._keys.get((slot, session), ())

    def needed(self, finished: int) -> Iterator[Key]:
        """Yield the keys that frames after number `finished` may need, oldest first."""
        for ended in [each for each, until in self._ended.items() if until <= finished]:
            del self._ended[ended], self._keys[ended]
        for (slot, session), keys in self._keys.items():
            for key in reversed(keys):
                yield Key(0, slot, session, key)
