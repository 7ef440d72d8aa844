"""Parts around the auditor that a test looks into."""

import json
from datetime import timedelta
from types import SimpleNamespace

from connector.app.audit.auditor import Auditor, CoverageKafka, Rules, now_ms
from connector.core.coverage.dates import rfc3339, seoul_date
from connector.core.coverage.tick_values import TickValues
from connector.core.ticks.avro import TickEncoder, TickSchema
from connector.core.ticks.frame import WireRecord
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from simulator.market import Market

ISIN = "KR103502GA34"
SCHEMA = TickSchema(bond_tick())


class Writer:
    """Keeps what is written; fails as often as `failures` says."""

    def __init__(self, log):
        self.log, self.written, self.failures = log, [], 0

    async def write(self, records):
        """Keep the records, or fail all of them."""
        if self.failures:
            self.failures -= 1
            return [TimeoutError("not acknowledged")] * len(records)
        self.written += records
        self.log += records
        return [None] * len(records)

    async def close(self):
        """Do nothing."""


class World:
    """An auditor on one partition, with its topics in memory; `count` is their partitions."""

    def __init__(self, *, wait_ms=0, count=1, asks_registry=False):
        self.count = count
        self.stored, self.log, self.schemas, self.asked = [], [], {}, []
        self.coverage, self.events = Writer(self.log), Writer(self.log)
        self.auditor = Auditor(
            TickValues([SCHEMA.text], asks_registry=asks_registry),
            self._ask,
            CoverageKafka(self._read, self.coverage, self.events),
            Rules(wait_ms, lambda _: True),
        )
        self._market = Market(1, 100)
        self._encoder = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)
        self.offset = 0

    async def _ask(self, schema_id):
        self.asked.append(schema_id)
        found = self.schemas[schema_id]
        if isinstance(found, list):
            found = found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def _read(self, number, on_record):
        for record in self.stored:
            if record.partition == number:
                on_record(record)

    def store(self):
        """Let the coverage topic hold what was written so far, for the next auditor."""
        self.stored = [
            SimpleNamespace(
                partition=each.partition, key=each.key, value=each.value, headers=each.headers, offset=place
            )
            for place, each in enumerate(self.coverage.written)
        ]

    def trades(self, count, isin=ISIN, back_days=0):
        """Return the raw texts of the next trades of a bond."""
        now = now_ms() / 1000 - 86_400 * back_days
        return [self._market.tick(isin, now) for _ in range(count)]

    def records(self, raws, back_days=0, value=None):
        """Return the trades as records of the tick topic, in order."""
        made = []
        for raw in raws:
            isin = raw.partition("^")[0]
            received_ms = now_ms() - 86_400_000 * back_days
            tick = self._encoder.encode(WireRecord(raw.split("^"), raw), self._encoder.origin(received_ms))
            headers = [("slot", b"0"), ("received-ns", b"1")]
            number = partition(isin.encode(), self.count)
            made.append(
                SimpleNamespace(
                    partition=number,
                    offset=self.offset,
                    key=isin.encode(),
                    value=tick.value if value is None else value,
                    headers=headers,
                    timestamp=received_ms,
                )
            )
            self.offset += 1
        return made

    def latest(self, isin=ISIN, back_days=0):
        """Return the value of a bond's latest coverage record."""
        day = seoul_date(now_ms()) - timedelta(days=back_days)
        key = f"{isin}/{day.isoformat()}".encode()
        return json.loads([each.value for each in self.coverage.written if each.key == key][-1])

    def gaps(self):
        """Return the events that were written."""
        return [json.loads(each.value) for each in self.events.written]

    def slot_is(self, pending, isin=ISIN):
        """Let the status topic say that slot 0 carries the bond and has so many frames pending."""
        self.status(f"instrument/{isin}", {"state": "ACTIVE", "slot": 0, "wanted_since": "2020-01-01T00:00:00Z"})
        self.status("slot/0", {"state": "CONNECTED", "pending": pending, "alive_at": rfc3339(now_ms())})

    def status(self, key, value):
        """Let the auditor take a status record."""
        raw = None if value is None else json.dumps(value).encode()
        self.auditor.take_status(SimpleNamespace(key=key.encode(), value=raw))

    def event(self, kind, **fields):
        """Let the auditor take an event."""
        value = {"event": kind, "at": rfc3339(now_ms()), "slot": 0, "instrument": None, "detail": {}} | fields
        self.auditor.take_event(SimpleNamespace(key=b"slot/0", value=json.dumps(value).encode(), timestamp=now_ms()))
