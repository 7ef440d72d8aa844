"""Publishes trades that KIS's REST list still has as ticks with `source = rest`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from connector.core.ticks.avro import BadTick, TickEncoder
from connector.core.ticks.rest_tick import SOURCE, rest_record
from connector.shell.kafka.record_writer import Outgoing
from connector.shell.kafka.waiting import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from connector.core.kis.quotations import ReportedTrade
    from connector.core.ticks.avro import TickSchema
    from connector.shell.kafka.record_writer import RecordWriter

log = structlog.get_logger("connector.backfill")


class Backfill:
    """Writes to the tick topic. `framing` returns the bytes before each datum, and may wait."""

    def __init__(self, schema: TickSchema, framing: Callable[[], Awaitable[bytes]], writer: RecordWriter) -> None:
        self._schema = schema
        self._framing = framing
        self._writer = writer
        self._encoder: TickEncoder | None = None

    async def publish(self, isin: str, trades: Sequence[ReportedTrade], number: int) -> bool:
        """Publish trades of today to a partition; return whether Kafka acknowledged all of them."""
        try:
            encoder = self._encoder = self._encoder or TickEncoder(self._schema, await self._framing(), SOURCE)
        except Exception as error:  # noqa: BLE001 - whatever keeps the registry from answering, we try again later
            raise_if_cancelled()
            log.warning("backfill_waits", isin=isin, reason=str(error))
            return False
        received_ns = time.time_ns()
        origin = encoder.origin(received_ns // 1_000_000)
        names = [column["name"] for column in self._schema.columns]
        headers = [
            ("received-ns", str(received_ns).encode()),
            ("schema", self._schema.fingerprint.hex().encode()),
        ]
        records = []
        for trade in trades:
            tick = encoder.encode(rest_record(isin, names, _texts(trade)), origin)
            if isinstance(tick, BadTick):
                log.warning("trade_not_backfilled", isin=isin, field=tick.field, reason=tick.detail)
                return False
            records.append(Outgoing(tick.isin.encode(), tick.value, number, headers, tick.timestamp_ms))
        outcomes = await self._writer.write(records)
        if failure := next(filter(None, outcomes), None):
            log.warning("backfill_not_written", isin=isin, cause=type(failure).__name__, error=str(failure))
        return not any(outcomes)


def _texts(trade: ReportedTrade) -> dict[str, str]:
    return {
        "STCK_CNTG_HOUR": trade.hour,
        "STCK_PRPR": trade.price,
        "PRDY_VRSS": trade.change,
        "PRDY_VRSS_SIGN": trade.sign,
        "PRDY_CTRT": trade.percent,
        "CNTG_VOL": trade.volume_text,
        "ACML_VOL": trade.accumulated_text,
    }
