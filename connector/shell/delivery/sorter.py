"""Splits frames into records, encodes them, and puts each into the lane of its partition."""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

import structlog

from connector.core.bonds.isin import has_shape
from connector.core.cipher_key import CipherKey
from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, Source, Tick, TickEncoder, Ticks, TickSchema
from connector.core.ticks.columns import repaired
from connector.core.ticks.dead_letter import DeadLetter, Headers
from connector.core.ticks.frame import ENCRYPTED_PREFIX, BadFrame, Received, WireRecord, split
from connector.core.ticks.partition import partition
from connector.core.ticks.run import Run, split_run
from connector.logs import clean, clean_known
from connector.shell.delivery.bond import Bond
from connector.shell.delivery.counts import Counts
from connector.shell.delivery.lane import Lane
from connector.shell.delivery.latest_values import LatestValues
from connector.shell.delivery.position import frame_of, position

log = structlog.get_logger("connector.delivery")

RUN_BYTES = 1024  # of frames like the first one: a run of some six records costs what six records cost


class Sorter:
    """Puts the records of frames into lanes; a lane ignores a record it already has.

    `keys(slot, session)` returns a session's cipher keys. Before it places anything, the sorter is
    told the framing and the lanes.
    """

    def __init__(
        self,
        schema: TickSchema,
        keys: Callable[[int, int], Sequence[CipherKey]],
        counts: Counts,
        tick_source: Source = "ws",
    ) -> None:
        self.counted_through = 0  # frames up to this number are already in `counts`
        self.latest_values = LatestValues(schema)
        self._schema = schema
        self._width = schema.width
        self._tick_source: Source = tick_source
        self._encoder = TickEncoder(schema, schema.single_object_prefix, tick_source)
        self._schema_header = ("schema", schema.fingerprint.hex().encode())
        self._ticks: Sequence[Lane] = ()
        self._dead_letters: Sequence[Lane] = ()
        self._delivered = 0  # records after this position no earlier process has delivered
        self._keys = keys
        self._counts = counts
        self._bonds: dict[str, Bond] = {}
        self._requested: frozenset[str] | None = None  # None until the lists are known
        # By session: the last frame that none of so many keys opened, for each number of keys.
        self._unopened: dict[tuple[int, int], dict[int, int]] = {}
        self._held: tuple[int, str] | None = None  # the frame that waits for a mended decoding, and why

    def frame_with(self, prefix: bytes) -> None:
        """Set the bytes that come before each datum."""
        self._encoder = TickEncoder(self._schema, prefix, self._tick_source)

    def route_to(self, ticks: Sequence[Lane], dead_letters: Sequence[Lane], latest_values: Sequence[Lane] = ()) -> None:
        """Set the lanes of the topics, by partition.

        Without lanes of dead letters, dead letters are only counted.
        """
        self._ticks, self._dead_letters = ticks, dead_letters
        for bond in self._bonds.values():
            bond.lane = self._lane(bond.key)
        self.latest_values.route_to(latest_values)
        self._delivered = max(lane.delivered for lane in ticks)

    def request(self, isins: frozenset[str]) -> None:
        """Set the wanted bonds; ticks of other bonds are counted as unrequested."""
        self._requested = isins
        for isin, bond in self._bonds.items():
            bond.is_requested = isin in isins

    @property
    def holds(self) -> str | None:
        """Which frame waits for a mended decoding, with all later ones, or None."""
        return self._held[1] if self._held and self._held[0] > self.counted_through else None

    def last_tick_ns(self, isin: str) -> int | None:
        """Return the receive time (ns) of a bond's latest tick, or None."""
        bond = self._bonds.get(isin)
        return bond.received_ns if bond and bond.raw else None

    def last_tick(self, isin: str) -> tuple[int, dict[str, str]] | None:
        """Return the receive time (ns) and the columns by name of a bond's latest tick, or None."""
        bond = self._bonds.get(isin)
        if bond is None or not bond.raw:
            return None
        names = [column["name"] for column in self._schema.columns]
        texts = map(repaired, bond.raw.decode("utf-8", "surrogateescape").split("^"))
        return bond.received_ns, dict(zip(names, texts, strict=False))

    def lacks_key(self, frame: Received) -> bool:
        """Whether the frame is encrypted and its session has no key yet."""
        return frame.raw.startswith(ENCRYPTED_PREFIX) and not self._keys(frame.slot, frame.session)

    def place(self, first_seq: int, frames: Sequence[Received], serving: Sequence[Lane] | None = None) -> None:
        """Put the records of consecutive frames into the `serving` lanes.

        By default, these are all lanes that keep up. The frames are read as one run. If they are no
        run, each half of them is tried. Few records are read one by one.
        """
        if not frames or len(frames) * len(frames[0].raw) < RUN_BYTES:
            for seq, frame in enumerate(frames, first_seq):
                self._place_frame(seq, frame, serving)
        elif self._place_run(first_seq, frames, serving):
            return
        elif len(frames) == 1:
            self._place_frame(first_seq, frames[0], serving)
        else:
            half = len(frames) // 2
            self.place(first_seq, frames[:half], serving)
            self.place(first_seq + half, frames[half:], serving)

    def _place_run(self, first_seq: int, frames: Sequence[Received], serving: Sequence[Lane] | None) -> bool:
        """Place the frames, or return False if one of them needs `_place_frame`."""
        last_seq = first_seq + len(frames) - 1
        is_first_time = first_seq > self.counted_through
        if not is_first_time and last_seq > self.counted_through:
            return False
        if (decoded := self._decode_run(frames)) is None:
            return False
        run, ticks, received_ns, received_ms = decoded
        positions, headers = _positions(first_seq, run), run.for_each_record(map(self._headers, frames))
        accepting = {lane for lane in self._ticks if lane.behind_from is None} if serving is None else serving
        bonds = [self._bonds.get(isin) or self._new_bond(isin) for isin in ticks.isins]
        records = zip(bonds, positions, received_ns, ticks.timestamps_ms, ticks.values, headers, strict=True)
        for bond, at, ns, timestamp_ms, value, its_headers in records:
            if (lane := bond.lane) in accepting:
                lane.append(at, ns, timestamp_ms, bond.key, value, its_headers)
        if self.latest_values.lanes:
            self.latest_values.place_run(run, ticks, positions, received_ns, headers, serving)
        if is_first_time:
            self.counted_through = last_seq
            self._count_run(run, bonds, ticks.timestamps_ms, received_ms)
            for bond, ns, raw in zip(bonds, received_ns, run.raws, strict=True):
                bond.received_ns, bond.raw = ns, raw
            if positions[0] <= self._delivered:
                self._counts.decoded -= sum(
                    at <= bond.lane.delivered for bond, at in zip(bonds, positions, strict=True)
                )
        return True

    def _decode_run(self, frames: Sequence[Received]) -> tuple[Run, Ticks, Sequence[int], Sequence[int]] | None:
        """Return the records, their ticks and receive times (ns, ms); None if they are no run."""
        try:
            if (run := split_run(frames, self._encoder.begins)) is None:
                return None
            received_ns = run.for_each_record([frame.received_ns for frame in frames])
            received_ms = [ns // 1_000_000 for ns in received_ns]
            ticks = self._encoder.encode_run(run, received_ms)
        except MemoryError:  # says nothing about the frames
            raise
        except Exception as error:  # noqa: BLE001 - each frame is tried alone, and only a bad one is a dead letter
            log.warning("run_tripped_bug", frames=len(frames), error=_last_lines(error))
            return None
        return ticks and (run, ticks, received_ns, received_ms)

    def _count_run(
        self, run: Run, bonds: Sequence[Bond], timestamps_ms: Sequence[int], received_ms: Sequence[int]
    ) -> None:
        counts = self._counts
        counts.decoded += len(bonds)
        counts.unrequested += [bond.is_requested for bond in bonds].count(False)
        ages = Counter([(ms - traded) // 1000 for ms, traded in zip(received_ms, timestamps_ms, strict=True)])
        for seconds, count in ages.items():
            counts.event_ages[seconds] += count
        self._note_width(run.width, len(bonds))

    def _headers(self, frame: Received) -> Headers:
        return [("received-ns", b"%d" % frame.received_ns), ("slot", b"%d" % frame.slot), self._schema_header]

    def _place_frame(self, seq: int, frame: Received, serving: Sequence[Lane] | None) -> None:
        """Place one frame. Raises what decoding raises if many frames trip a bug.

        A frame counts once, however often lanes that lag read it again.
        """
        try:
            records, ticks = self._decode(seq, frame)
        except MemoryError:  # says nothing about the frame
            raise
        except Exception as error:
            if seq > self.counted_through:
                if self._counts.decode_bugs.is_too_common(seq, frame.received_ns):
                    self._held = seq, f"frame {seq}, and too many before it: decoding raised {type(error).__name__}"
                    raise
                log.error("frame_tripped_bug", frame=seq, slot=frame.slot, error=_last_lines(error))  # noqa: TRY400 - one line
            self._bury(position(seq, 0), frame, dead_letter.of_bug(frame, error), serving)
        else:
            if isinstance(records, BadFrame):
                if records.reason.startswith("DECRYPT_"):
                    self._note_unopened(seq, frame)
                self._bury(position(seq, 0), frame, dead_letter.of_frame(frame, records), serving)
            else:
                self._place_records(seq, frame, records, ticks, serving)
        self.counted_through = max(self.counted_through, seq)

    def _decode(self, seq: int, frame: Received) -> tuple[list[WireRecord] | BadFrame, list[Tick | BadTick]]:
        records = split(frame, self._keys_for(seq, frame) if frame.raw.startswith(ENCRYPTED_PREFIX) else ())
        if isinstance(records, BadFrame):
            return records, []
        origin = self._encoder.origin(frame.received_ns // 1_000_000)
        return records, [self._encoder.encode(record, origin) for record in records]

    def _keys_for(self, seq: int, frame: Received) -> Sequence[CipherKey]:
        """Return the session's keys; of a dead letter, only those that it was tried with.

        The lanes that keep up have passed it without a tick. So a reading for a lane that lags must
        not make a tick of it instead of the dead letter.
        """
        session = frame.slot, frame.session
        keys = self._keys(*session)
        for count, last in self._unopened.get(session, {}).items():
            if seq <= last:
                return keys[len(keys) - count :]
        return keys

    def _note_unopened(self, seq: int, frame: Received) -> None:
        if seq <= self.counted_through or not self._dead_letters:
            return
        session, delivered = (frame.slot, frame.session), lane_of(None, self._dead_letters).acknowledged
        if session not in self._unopened:
            self._unopened = {
                each: lasts for each, lasts in self._unopened.items() if position(max(lasts.values()), 0) > delivered
            }
        self._unopened.setdefault(session, {})[len(self._keys(*session))] = seq

    def _place_records(
        self,
        seq: int,
        frame: Received,
        records: Sequence[WireRecord],
        ticks: Sequence[Tick | BadTick],
        serving: Sequence[Lane] | None,
    ) -> None:
        received_ns = frame.received_ns
        headers = self._headers(frame)
        at = position(seq, 0)
        unrequested = delivered = 0
        is_first_time, received_ms, ages = seq > self.counted_through, received_ns // 1_000_000, self._counts.event_ages
        for record, tick in zip(records, ticks, strict=True):
            if isinstance(tick, BadTick):
                self._bury(at, frame, dead_letter.of_record(frame, record, tick), serving)
            else:
                isin, timestamp_ms, value = tick
                bond = self._bonds.get(isin) or self._new_bond(isin)
                lane = bond.lane
                if lane.behind_from is None if serving is None else lane in serving:
                    lane.append(at, received_ns, timestamp_ms, bond.key, value, headers)
                delivered += at <= lane.delivered
                unrequested += not bond.is_requested
                if is_first_time:  # a frame that is read again may be older than the latest tick
                    bond.received_ns, bond.raw = received_ns, record.raw
                    ages[(received_ms - timestamp_ms) // 1000] += 1
            at += 1
        if self.latest_values.lanes:
            self.latest_values.place_frame(seq, frame, records, ticks, headers, serving)
        if is_first_time:
            self._counts.decoded += len(records) - delivered
            self._counts.unrequested += unrequested
            self._note_oddities(frame.slot, records)

    def _note_oddities(self, slot: int, records: Sequence[WireRecord]) -> None:
        """Count records that are wider than documented or not UTF-8; log the first of each."""
        for columns, _, is_utf8 in records:
            self._note_width(len(columns), 1)
            if not is_utf8:
                if not self._counts.not_utf8:
                    log.warning("record_not_utf8", slot=slot, isin=columns[0] if has_shape(columns[0]) else None)
                self._counts.not_utf8 += 1

    def _note_width(self, width: int, records: int) -> None:
        if width > self._width:
            if not self._counts.extended:
                log.warning("columns_added", columns=width, documented=self._width, kept_in="extra")
            self._counts.extended += records

    def _new_bond(self, isin: str) -> Bond:
        key, requested = isin.encode(), self._requested
        bond = self._bonds[isin] = Bond(key, self._lane(key), requested is None or isin in requested)
        return bond

    def _lane(self, key: bytes) -> Lane:
        return self._ticks[partition(key, len(self._ticks))]

    def _bury(self, at: int, frame: Received, letter: DeadLetter, serving: Sequence[Lane] | None) -> None:
        if not self._dead_letters:
            self._counts.dead_letters[letter.reason] += frame_of(at) > self.counted_through
            return
        lane = lane_of(letter.key, self._dead_letters)
        if lane.behind_from is not None if serving is None else lane not in serving:
            return
        letter = dead_letter.without_secrets(letter, clean, clean_known)
        batch = lane.append(at, frame.received_ns, letter.timestamp_ms, letter.key, letter.value, letter.headers)
        if batch is not None:
            batch.reasons.append(letter.reason)


def _positions(first_seq: int, run: Run) -> Sequence[int]:
    """Return the position of each record of the run."""
    starts = range(position(first_seq, 0), position(first_seq + len(run.counts), 0), position(1, 0))
    if len(run.counts) == len(run.raws):
        return starts
    return list(chain.from_iterable(range(at, at + count) for at, count in zip(starts, run.counts, strict=True)))


def _last_lines(error: Exception) -> str:
    """Return the end of the error's traceback as one line."""
    return " ".join("".join(traceback.format_exception(error)[-2:]).split())


def lane_of(key: bytes | None, dead_letters: Sequence[Lane]) -> Lane:
    """Return the lane of a dead letter with this key."""
    return dead_letters[partition(key, len(dead_letters)) if key else 0]
