"""Splits frames into records, encodes them, and puts each into the lane of its partition."""

from collections.abc import Callable, Sequence

import structlog

from connector.core.bonds.isin import has_shape
from connector.core.cipher_key import CipherKey
from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, TickEncoder, TickSchema
from connector.core.ticks.dead_letter import DeadLetter
from connector.core.ticks.frame import ENCRYPTED_PREFIX, BadFrame, Received, WireRecord, split
from connector.core.ticks.partition import partition
from connector.logs import clean, clean_known
from connector.shell.delivery.counts import Counts
from connector.shell.delivery.lane import Lane, frame_of, position

log = structlog.get_logger("connector.delivery")


class Sorter:
    """Puts the records of frames into lanes; a lane ignores a record it already has.

    `ticks` and `dead_letters` hold the lanes of the two topics, by partition. `keys(slot, session)`
    returns a session's cipher keys.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one argument for each neighbour
        self,
        schema: TickSchema,
        prefix: bytes,
        ticks: Sequence[Lane],
        dead_letters: Sequence[Lane],
        keys: Callable[[int, int], Sequence[CipherKey]],
        counts: Counts,
    ) -> None:
        self.requested: frozenset[str] | None = None  # None until the lists are known
        self.counted_through = 0  # frames up to this number are already in `counts`
        # Receive time (ns) and record of each bond's latest good tick.
        self.latest: dict[str, tuple[int, WireRecord]] = {}
        self._width = schema.width
        self._encoder = TickEncoder(schema, prefix)
        self._schema_header = ("schema", schema.fingerprint.hex().encode())
        self._ticks = ticks
        self._dead_letters = dead_letters
        self._keys = keys
        self._counts = counts
        self._routes: dict[str, tuple[bytes, Lane]] = {}

    def lacks_key(self, frame: Received) -> bool:
        """Whether the frame is encrypted and its session has no key yet."""
        return frame.raw.startswith(ENCRYPTED_PREFIX) and not self._keys(frame.slot, frame.session)

    def place(self, seq: int, frame: Received, serving: Sequence[Lane] | None = None) -> None:
        """Put a frame's records into the `serving` lanes, by default into all that keep up."""
        encrypted = frame.raw.startswith(ENCRYPTED_PREFIX)
        records = split(frame, self._keys(frame.slot, frame.session) if encrypted else ())
        if isinstance(records, BadFrame):
            self._bury(position(seq, 0), frame, dead_letter.of_frame(frame, records), serving)
            return
        received_ns = frame.received_ns
        origin = self._encoder.origin(received_ns // 1_000_000)
        headers = [("received-ns", b"%d" % received_ns), ("slot", b"%d" % frame.slot), self._schema_header]
        encode, routes, requested, latest = self._encoder.encode, self._routes, self.requested, self.latest
        at = position(seq, 0)
        unrequested = 0
        is_first_time, received_ms, ages = seq > self.counted_through, origin.received_ms, self._counts.event_ages
        for record in records:
            tick = encode(record, origin)
            if isinstance(tick, BadTick):
                self._bury(at, frame, dead_letter.of_record(frame, record, tick), serving)
            else:
                isin, timestamp_ms, value = tick
                key, lane = routes.get(isin) or self._route(isin)
                if lane.behind_from is None if serving is None else lane in serving:
                    if lane.refusals and at in lane.refusals:
                        self._divert(at, frame, record, key, lane)
                    else:
                        lane.append(at, received_ns, timestamp_ms, key, value, headers)
                if requested is not None and isin not in requested:
                    unrequested += 1
                if is_first_time:  # a frame that is read again may be older than the latest tick
                    latest[isin] = received_ns, record
                    ages[(received_ms - timestamp_ms) // 1000] += 1
            at += 1
        if is_first_time:
            self.counted_through = seq
            self._counts.decoded += len(records)
            self._counts.unrequested += unrequested
            self._note_oddities(frame.slot, records)

    def _note_oddities(self, slot: int, records: Sequence[WireRecord]) -> None:
        """Count records that are wider than documented or not UTF-8; log the first of each."""
        width = self._width
        for columns, _, is_utf8 in records:
            if len(columns) > width:
                if not self._counts.extended:
                    log.warning("columns_added", columns=len(columns), documented=width, kept_in="extra")
                self._counts.extended += 1
            if not is_utf8:
                if not self._counts.not_utf8:
                    log.warning("record_not_utf8", slot=slot, isin=columns[0] if has_shape(columns[0]) else None)
                self._counts.not_utf8 += 1

    def _route(self, isin: str) -> tuple[bytes, Lane]:
        key = isin.encode()
        route = self._routes[isin] = key, self._ticks[partition(key, len(self._ticks))]
        return route

    def _letter_lane(self, key: bytes | None) -> Lane:
        return self._dead_letters[partition(key, len(self._dead_letters)) if key else 0]

    def _bury(self, at: int, frame: Received, letter: DeadLetter, serving: Sequence[Lane] | None) -> None:
        lane = self._letter_lane(letter.key)
        if lane.behind_from is not None if serving is None else lane not in serving:
            return
        letter = dead_letter.without_secrets(letter, clean, clean_known)
        if lane.refusals and at in lane.refusals:
            letter = dead_letter.shortened(letter, frame_of(at))
        batch = lane.append(at, frame.received_ns, letter.timestamp_ms, letter.key, letter.value, letter.headers)
        if batch is not None:
            batch.reasons.append(letter.reason)

    def _divert(self, at: int, frame: Received, record: WireRecord, key: bytes, lane: Lane) -> None:
        """Send a refused tick as a dead letter, which is shortened if Kafka refused it as well."""
        refused_as, *further = lane.refusals[at]
        letter = dead_letter.of_refused(frame, record, key, refused_as)
        letter = dead_letter.without_secrets(letter, clean, clean_known)
        if further:
            letter = dead_letter.shortened(letter, frame_of(at))
        to = self._letter_lane(key)
        lane.divert(at, frame.received_ns, letter, to.topic, to.partition)
