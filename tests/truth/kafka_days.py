"""Seeded days in the topics of a real Kafka, each with bonds and slots of its own."""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace

from confluent_kafka import Producer
from fastavro import schemaless_writer

from connector.core.bonds.isin import with_check_digit
from connector.core.coverage.book import Book
from connector.core.coverage.dates import rfc3339
from connector.core.coverage.record import RESUME_HEADER, value_of
from connector.core.ticks.avro import TickEncoder, TickSchema, decode
from connector.core.ticks.frame import WireRecord
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from tests.kafka.reader import read_all
from tests.truth import world as worlds
from tests.truth.auditing import event_of
from tests.truth.judge import of_day, of_events
from tests.truth.oracle import Oracle
from tests.truth.world import ISINS, TODAY, WAIT_MS, is_trading_day

PARTITIONS = 3
AT_THE_END = (": state: ", ": missing by the log: ")  # what the judge compares with the whole day
SCHEMA = TickSchema(bond_tick())
SAMPLE = (
    "KR103502GD31^국고03250-5303(23-2)^131743^2^5.00^0.05^10575.00^1^"
    "10525.00^10578.00^10525.00^0.00^3.012^3.037^3.010^3.037^6594124^9874082^2"
)


class KafkaDay:
    """The world of one seed, its oracle, and what of it is in the topics so far."""

    def __init__(self, seed):
        self.world = worlds.make(seed)
        self.world.has_rest = self.world.taken_back = False
        self.oracle = Oracle(self.world)
        self.arrivals, self.told = list(self.world.arrivals), list(self.world.told)
        self._isins = {isin: with_check_digit(f"KR{seed:04d}{number:05d}") for number, isin in enumerate(ISINS)}
        self._of_isin = {ours: isin for isin, ours in self._isins.items()}
        self._first_slot = 2 * seed

    def slot(self, of_world):
        """Return the slot that stands for one of the world's."""
        return None if of_world is None else self._first_slot + of_world

    def write(self, topics, until_ms):
        """Write what was told and what arrived up to a time, and let the oracle hear of it."""
        while self.told and self.told[0][0] + 20 <= until_ms:
            self._tell(topics, *self.told.pop(0))
        while self.arrivals and self.arrivals[0].at_ms <= until_ms:
            arrival = self.arrivals.pop(0)
            isin = self._isins[arrival.deal.isin]
            headers = [] if arrival.slot is None else [("slot", str(self.slot(arrival.slot)).encode())]
            topics.write("ticks", isin, _value(isin, arrival), partition(isin.encode(), PARTITIONS), headers)
            self.oracle.arrived(arrival.at_ms, arrival)
        for slot in (0, 1):
            topics.write_json("status", f"slot/{self.slot(slot)}", {"state": "CONNECTED", "pending": 0})
        self.oracle.settled(until_ms + WAIT_MS)

    def _tell(self, topics, at_ms, kind, fields):
        isin, slot = self._isins.get(fields.get("isin")), self.slot(fields.get("slot"))
        match kind:
            case "alive":
                value = {"state": "CONNECTED", "pending": 0, "alive_at": rfc3339(fields["alive_ms"])}
                topics.write_json("status", f"slot/{slot}", value)
            case "wanted_since":
                carried_by = self.slot(ISINS.index(fields["isin"]) % 2)
                since = rfc3339(fields["since_ms"])
                value = {"state": "ACTIVE", "slot": carried_by, "wanted_since": since}
                topics.write_json("status", f"instrument/{isin}", value)
            case "dead_letter":
                received = b"%d" % (fields["received_ms"] * 1_000_000)
                topics.write("dead_letters", isin, b"", 0, [("received-ns", received)])
            case _:
                value = event_of(at_ms, kind, fields | {"slot": slot, "isin": isin})
                topics.write_json("events", isin or f"slot/{slot}", value)

    def wrong(self, records, events, now_ms, *, is_over):
        """Return in words what the records and events say wrongly of this day."""
        found = {}
        for (ours, day), one in records.items():
            if ours in self._of_isin:
                found[self._of_isin[ours], day] = value_of(one)
        wrong = []
        for key, expected in self.oracle.days.items():
            if key not in found:
                wrong.append(f"{key}: no record")
                continue
            here = [f"{key}: {each}" for each in of_day(self.world, expected, found[key])]
            wrong += [each for each in here if is_over or not any(what in each for what in AT_THE_END)]
        known = set(self.oracle.days) | {(ISINS[0], worlds.CLOSED_DAY)}
        wrong += [f"{key}: a record of nothing" for key in set(found) - known if found[key]["ticks"]]
        played = SimpleNamespace(topics=SimpleNamespace(events=self._own(events)), now=now_ms)
        return wrong + list(of_events(played, self.oracle))

    def _own(self, events):
        """Return the auditor's events of this day, with the world's names of the bonds."""
        own = []
        for each in events:
            if each["event"] in ("gap", "backfill") and each["instrument"] in self._of_isin:
                isin = self._of_isin[each["instrument"]]
                name = each["detail"]["id"].replace(each["instrument"], isin)
                own.append(SimpleNamespace(event=each["event"], detail=each["detail"] | {"id": name}))
        return own


class Topics:
    """Writes the topics that an auditor reads, and reads those that it writes."""

    def __init__(self, bootstrap_servers, names):
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0, "linger.ms": 5})
        self.bootstrap_servers, self.names = bootstrap_servers, names

    def write(self, topic, key, value, number=0, headers=()):
        """Write one record."""
        self._producer.produce(getattr(self.names, topic), value, key, number, headers=list(headers))
        self._producer.poll(0)

    def write_json(self, topic, key, value):
        """Write one record of JSON."""
        self.write(topic, key, json.dumps(value).encode())

    def flush(self):
        """Wait until Kafka has everything."""
        assert self._producer.flush(30) == 0

    def records(self, now_ms):
        """Return the days as a reader of the coverage topic has them, by bond and date."""
        book = Book(is_trading_day)
        for record in read_all(self.bootstrap_servers, self.names.coverage):
            book.restore(record.key, record.value, {RESUME_HEADER: dict(record.headers)[RESUME_HEADER]}, now_ms)
        return book.days

    def events(self):
        """Return all events, in order."""
        return [json.loads(each.value) for each in read_all(self.bootstrap_servers, self.names.events)]


def _value(isin, arrival):
    """Return a tick of the sample with the arrival's bond, volumes and times."""
    deal, out = arrival.deal, io.BytesIO()
    fields = _SAMPLE_FIELDS | {
        "STND_ISCD": isin,
        "CNTG_VOL": deal.high - deal.low,
        "ACML_VOL": deal.high,
        "tick_id": deal.tick_id,
        "trade_date": deal.day,
        "traded_at": _time(deal.traded_ms),
        "received_at": _time(arrival.seen_ms),
        "source": arrival.source,
    }
    schemaless_writer(out, SCHEMA.parsed, fields)
    return SCHEMA.single_object_prefix + out.getvalue()


def _time(at_ms):
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _sample_fields():
    encoder = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)
    received_ms = worlds.midnight(TODAY) + 14 * worlds.HOUR
    return decode(encoder.encode(WireRecord(SAMPLE.split("^"), SAMPLE), encoder.origin(received_ms)).value, SCHEMA)


_SAMPLE_FIELDS = _sample_fields()
