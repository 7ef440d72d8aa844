"""Holds back an unconfirmed control record that would drop most of the desired bonds.

Somebody who empties a list by mistake must not stop the feed of a whole desk.
"""

from typing import Final

REASON: Final = "removal guard"  # every refusal begins like this; readers of list records rely on it
LEAST_DROPPED: Final = 10

TO_RELEASE: Final = 'send the same value with "confirm_removal": true'
TO_REMOVE: Final = 'first write {"instruments": [], "confirm_removal": true}, then the tombstone'
TO_RESTORE: Final = 'write the list again, or {"instruments": [], "confirm_removal": true} and then a tombstone'


def held_back(dropped: int, desired: int, what: str, remedy: str) -> str | None:
    """Return the refusal of a removal that drops most of the desired bonds, or None if it may pass.

    `dropped` is the number of desired bonds that the removal drops, and `desired` is the number of
    desired bonds before the removal. A removal of fewer than LEAST_DROPPED bonds always passes.
    `what` names the record as the subject of a sentence. `remedy` says how to confirm the removal.
    """
    if dropped < LEAST_DROPPED or dropped * 2 <= desired:
        return None
    return f"{REASON}: {what} would have dropped {dropped} of {desired} desired bonds; {remedy}"


def is_held_back(refusal: object, what: str = "") -> bool:
    """Return whether the removal guard gave this refusal, to `what` if given.

    Anyone may have written the refusal.
    """
    return isinstance(refusal, str) and refusal.startswith(f"{REASON}: {what}" if what else REASON)
