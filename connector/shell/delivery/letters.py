"""Holds the dead letters that are sent out of order: those of refused ticks, and refused ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiokafka.errors import InvalidTimestampError, KafkaError

from connector.core.ticks.dead_letter import DeadLetter, forms
from connector.shell.delivery.batch import Batch, Record
from connector.shell.delivery.position import frame_of, index_of
from connector.shell.delivery.refusals import refused_places

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

LETTERS: Final = 1000  # so many letters wait in memory
BYTES: Final = 16 * 2**20
REFUSED_SECONDS: Final = 60.0  # a letter that Kafka refuses in every form for so long is given up
AGAIN_SECONDS: Final = 2.0  # pause before all forms are tried again


class Owner(Protocol):
    """The lane in which a letter has its place."""

    def settle(self, position: int) -> None:
        """Record that nothing more is to be done for the record at this position."""
        ...


@dataclass(slots=True, eq=False)
class Letter:
    """One dead letter out of order.

    `record` is the form to send next, and `whole` the first one. `due` is the loop's time from
    which on it may be sent. `refused_since` is when Kafka refused it first, or an earlier letter if
    Kafka took none between.
    """

    owner: Owner
    whole: Record
    record: Record = field(init=False)
    forms: list[DeadLetter] | None = None
    refused_since: float | None = None
    due: float = 0.0

    def __post_init__(self) -> None:
        self.record = self.whole

    def take_next_form(self, *, restamp: bool, now_ms: int) -> bool:
        """Change the record to its next form; return False if Kafka refused every form."""
        if restamp and (again := self.record.with_next_stamp(now_ms)):
            self.record = again
            return True
        if self.forms is None:
            at = self.whole.position
            self.forms = forms(_letter_of(self.whole), frame_of(at), index_of(at))
        if not self.forms:
            self.record, self.forms = self.whole, None
            return False
        form, old = self.forms.pop(0), self.record
        self.record = Record(
            old.position, old.received_ns, old.timestamp_ms, form.key, form.value, form.headers, old.reason, old.stamps
        )
        return True


class Letters:
    """The letters of one partition of the dead-letter topic that wait to be sent.

    They stay here when a producer fails. A letter leaves if Kafka acknowledges it. If Kafka refuses
    it in every form, and has done so for REFUSED_SECONDS or taken no letter for so long,
    `give_up(letter)` counts the loss and settles it. So letters that are all refused, however many,
    take a minute together.
    """

    def __init__(self, give_up: Callable[[Letter], Awaitable[None]]) -> None:
        self._give_up = give_up
        self.had_turn = False  # whether the last batch of the lane was one of letters
        self._waiting: dict[tuple[int, int], Letter] = {}
        self._bytes = 0
        self._at_most = LETTERS
        self._refused_since = self._refused_at = -inf  # the first of the refusals since a letter was taken; the last
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no further letter of a refused tick is accepted."""
        return len(self._waiting) >= LETTERS or self._bytes >= BYTES

    async def room(self) -> None:
        """Wait until a further letter is accepted."""
        await self._has_room.wait()

    def add(self, owner: Owner, record: Record) -> None:
        """Add a letter, to be sent at once."""
        letter = Letter(owner, record)
        self._waiting[id(owner), record.position] = letter
        self._bytes += len(record.value)
        self._note_room()

    def next_due(self) -> float:
        """Return the loop's time at which the next letter may be sent."""
        return min(letter.due for letter in self._waiting.values())

    def next_batch(self, now: float, create: Callable[[], Any], topic: str, partition: int) -> Batch | None:
        """Return a batch of letters that are due, or None."""
        due = [letter for letter in self._waiting.values() if letter.due <= now]
        if not due:
            return None
        builder = create()
        batch = Batch(topic, partition, builder, builder.append, due[0].record.position)
        taken = []
        for letter in due[: self._at_most]:
            if not batch.take(letter.record):
                break
            taken.append(letter)
        batch.letters = taken
        return batch

    def note_taken(self) -> None:
        """Note that Kafka took a letter: a later refusal says something of its own letter alone."""
        self._refused_at = -inf

    def acknowledged(self, letters: Sequence[Letter]) -> None:
        """Remove letters that Kafka has."""
        self._at_most = min(LETTERS, 2 * self._at_most)
        self.note_taken()
        for letter in letters:
            self._forget(letter)
            letter.owner.settle(letter.whole.position)

    async def refused(self, letters: Sequence[Letter], error: KafkaError, now: float, now_ms: int) -> None:
        """Prepare the next form of the refused letters, or give them up."""
        places = refused_places(error, len(letters))
        if places is None:
            self._at_most = len(letters) // 2
            return
        if now > self._refused_at + REFUSED_SECONDS:  # what was refused long ago says nothing of these
            self._refused_since = now
        self._refused_at = now
        for place in sorted(places):
            letter = letters[place]
            if letter.refused_since is None:
                letter.refused_since = self._refused_since
            if letter.take_next_form(restamp=isinstance(error, InvalidTimestampError), now_ms=now_ms):
                continue
            until = letter.refused_since + REFUSED_SECONDS
            if now >= until:
                await self._give_up(letter)
                self._forget(letter)
            else:
                letter.due = min(now + AGAIN_SECONDS, until)

    def _forget(self, letter: Letter) -> None:
        del self._waiting[id(letter.owner), letter.whole.position]
        self._bytes -= len(letter.whole.value)
        self._note_room()

    def _note_room(self) -> None:
        if self.is_full:
            self._has_room.clear()
        else:
            self._has_room.set()


def _letter_of(record: Record) -> DeadLetter:
    assert record.reason is not None, "only dead letters are here"  # noqa: S101 - for the type checker
    return DeadLetter(record.reason, record.key, record.value, record.timestamp_ms, list(record.headers))
