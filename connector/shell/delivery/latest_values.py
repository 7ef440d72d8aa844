"""Puts the latest tick of each bond into the lanes of the topic of latest values."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final

from connector.core.ticks.avro import BadTick
from connector.core.ticks.encoders import TIME_COLUMN
from connector.core.ticks.latest import Order, order_header, trade_date
from connector.core.ticks.partition import partition
from connector.shell.delivery.position import position

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.ticks.avro import Tick, Ticks, TickSchema
    from connector.core.ticks.dead_letter import Headers
    from connector.core.ticks.frame import Received, WireRecord
    from connector.core.ticks.run import Run
    from connector.shell.delivery.lane import Lane

    # ISIN, order, position, receive time in ns, timestamp in ms, value, headers.
    _Candidate = tuple[str, Order, int, int, int, bytes, Headers]

VOLUME_COLUMN: Final = "ACML_VOL"
_LOWEST: Final = Order(-1, -1)


class LatestValues:
    """Puts the latest tick of each bond into the lanes; without lanes, there is no such topic.

    A bond's mark is the highest order that was put into a lane or found in the topic. A tick below
    the mark is left out, so the topic never moves back. A tick at the mark is put again, so that a
    lane which reads the journal again does not lack it.
    """

    def __init__(self, schema: TickSchema) -> None:
        names = [column["name"] for column in schema.columns]
        self._volume, self._time = names.index(VOLUME_COLUMN), names.index(TIME_COLUMN)
        self.lanes: Sequence[Lane] = ()
        self._routes: dict[str, Lane] = {}
        self._marks: dict[str, Order] = {}

    def route_to(self, lanes: Sequence[Lane]) -> None:
        """Set the lanes, by partition."""
        self.lanes, self._routes = lanes, {}

    def raise_marks(self, found: Mapping[str, Order]) -> None:
        """Raise the marks to the orders that were found in the topic."""
        for isin, order in found.items():
            self._marks[isin] = max(order, self._marks.get(isin, _LOWEST))

    def place_run(  # noqa: PLR0913, PLR0917 - what the sorter has of a run, column by column
        self,
        run: Run,
        ticks: Ticks,
        positions: Sequence[int],
        received_ns: Sequence[int],
        headers: Sequence[Headers],
        serving: Sequence[Lane] | None,
    ) -> None:
        """Put the latest ticks of a run, all of one trade date, into the `serving` lanes."""
        day = trade_date(run.texts[self._time][0], received_ns[0] // 1_000_000)
        orders = map(Order, repeat(day), map(int, run.texts[self._volume]))
        candidates = zip(
            ticks.isins, orders, positions, received_ns, ticks.timestamps_ms, ticks.values, headers, strict=False
        )
        self._place(candidates, serving)

    def place_frame(  # noqa: PLR0913, PLR0917 - what the sorter has of a frame
        self,
        seq: int,
        frame: Received,
        records: Sequence[WireRecord],
        ticks: Sequence[Tick | BadTick],
        headers: Headers,
        serving: Sequence[Lane] | None,
    ) -> None:
        """Put the latest ticks of a frame into the `serving` lanes."""
        received_ms = frame.received_ns // 1_000_000
        candidates: list[_Candidate] = []
        for at, (record, tick) in enumerate(zip(records, ticks, strict=True), position(seq, 0)):
            if not isinstance(tick, BadTick):
                columns = record.columns
                order = Order(trade_date(columns[self._time], received_ms), int(columns[self._volume]))
                candidates.append((tick.isin, order, at, frame.received_ns, tick.timestamp_ms, tick.value, headers))
        self._place(candidates, serving)

    def _place(self, candidates: Iterable[_Candidate], serving: Sequence[Lane] | None) -> None:
        accepting = {lane for lane in self.lanes if lane.behind_from is None} if serving is None else serving
        marks, routes = self._marks, self._routes
        latest: dict[str, _Candidate] = {}
        for candidate in candidates:
            isin, order = candidate[0], candidate[1]
            if order >= marks.get(isin, _LOWEST) and (routes.get(isin) or self._route(isin)) in accepting:
                marks[isin] = order
                latest[isin] = candidate
        in_order = sorted(latest.values(), key=lambda each: each[2])
        for isin, order, at, ns, timestamp_ms, value, headers in in_order:
            routes[isin].append(at, ns, timestamp_ms, isin.encode(), value, [*headers, order_header(order)])

    def _route(self, isin: str) -> Lane:
        route = self._routes[isin] = self.lanes[partition(isin.encode(), len(self.lanes))]
        return route
