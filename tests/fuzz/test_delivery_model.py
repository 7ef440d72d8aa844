"""A journal and a delivery against a model, under any history of frames, faults and kills.

G1: each committed frame is in Kafka, in the dead letters, still readable in the journal, or counted
as lost because Kafka refused its dead letter for a minute.
G2: in each partition the first copies are in receive order, except of ticks that Kafka refused
before a restart.
G3: only a lost acknowledgement or a kill makes a second copy, and it is equal.
"""

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from aiokafka.errors import InvalidTimestampError, KafkaConnectionError, MessageSizeTooLargeError, PolicyViolationError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery, lane, reading
from connector.shell.delivery.refusals import InvalidRecordError, marked
from connector.shell.journal import Journal
from tests.bad_input.test_frames import SCHEMA
from tests.fuzz.virtual_loop import VirtualLoop, workers_at_once
from tests.shell.delivery import fake_kafka
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS
from tests.shell.delivery.frames import ISINS, frame, record

POISON = 666  # the volume of a record that every broker refuses
PARTITIONS = 4
HEALED_SECONDS = 600


class Brokers(fake_kafka.Brokers):
    """Brokers that can also lose the answer to a written batch, or answer with a passing error."""

    def __init__(self):
        super().__init__(PARTITIONS)
        self.silent_answers = 0
        self.passing_errors = 0
        self.written_unanswered = 0
        self.doubtful_refusals = 0
        self.refused = {TICKS: None, DEAD_LETTERS: None}
        self.refused_ticks = set()
        self.judge = self._judge

    def _judge(self, topic, one):
        """Refuse poisonous ticks always, and other records as told."""
        error = InvalidRecordError() if topic == TICKS and _is_poison(one) else self._as_told(topic, one)
        if error and topic == TICKS:
            self.refused_ticks.add(_identity(topic, one))
        return error

    def _as_told(self, topic, one):
        match self.refused[topic]:
            case "stamp" if one.timestamp >= 0:
                return InvalidTimestampError()
            case "size":
                return MessageSizeTooLargeError()
            case "policy":
                return PolicyViolationError()
            case "no key" if one.key is None:
                return InvalidRecordError()
            case _:
                return None

    def producer(self, leader):
        """Return a producer that starts at this broker."""
        self.producers.append(Producer(self, leader))
        return self.producers[-1]


class Producer(fake_kafka.Producer):
    """Answers in the way its brokers decide."""

    @property
    def is_sending(self):
        """Whether its sender task runs."""
        return self._sender is not None and not self._sender.sender_task.done()

    def _answer(self, builder, topic, partition, answer):
        brokers = self._brokers
        if answer.done() or brokers.leads[topic, partition] in {None, *brokers.hanging}:
            return
        if brokers.passing_errors:
            brokers.passing_errors -= 1
            answer.set_exception(KafkaConnectionError("the connection broke"))
        elif brokers.silent_answers and brokers.refusal(topic, builder) is None:
            brokers.silent_answers -= 1
            brokers.written_unanswered += len(builder.records)
            brokers.logs[topic, partition] += builder.records
        elif brokers.doubtful_refusals and (error := brokers.refusal(topic, builder)):
            brokers.doubtful_refusals -= 1
            answer.set_exception(marked(error, (), is_certain=False))
        else:
            super()._answer(builder, topic, partition, answer)


def _identity(topic, written):
    if topic == TICKS:
        value = decode(written.value, SCHEMA)
        return value["STND_ISCD"], value["ACML_VOL"]
    if written.key is None or written.key.startswith(b"slot/"):
        return None, int(re.search(rb"[0-9]+\Z", written.value)[0])
    return written.key.decode(), int(written.value.decode().split("^")[16])


def _is_poison(written):
    return decode(written.value, SCHEMA)["CNTG_VOL"] == POISON


class Machine(RuleBasedStateMachine):
    """The model: all received records in order; each has a volume of its own."""

    @initialize()
    def begin(self):
        """Start a connector in an empty folder."""
        self.world = contextlib.ExitStack()
        self.world.enter_context(workers_at_once())
        # A tiny world: a dozen frames instead of thousands.
        self.world.enter_context(patch.multiple(reading, FRAMES_A_TURN=4, FRAMES_AGAIN=5))
        self.world.enter_context(patch.multiple(lane, SEALED_BATCHES=2))
        self.folder = Path(tempfile.mkdtemp(prefix="kis-bond-model-", dir=_memory_folder()))
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.brokers = Brokers()
        self.volumes = 0
        # The identities of each frame's records, in order: volumes of ticks, texts of dead letters.
        self.frames = []
        self.texts = {}
        self.letters = set()  # the identities that can be no ticks
        self.raws = []
        self.lost = set()  # the texts of frames that were counted as lost
        self.allowed_copies = 0
        self.path = self.folder / "0"
        self.generation = 0
        self.run(self._start())

    def run(self, work):
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    async def _start(self):
        self.journal = await Journal.open(JournalSettings(path=self.path), self._lose)
        lose = self.journal.lose
        self.journal.lose = lambda seq, one: (self.lost.add(one.raw), lose(seq, one))
        self.delivery = Delivery(self.journal, SCHEMA, self.brokers.kafka(), _framing)
        self.journal.watch_lanes(self.delivery.watermarks)
        self.task = self.loop.create_task(self.delivery.run())

    def _lose(self, loss):
        assert loss.reason == "dead_letter_refused", f"frames were given up: {loss}"

    async def _stop(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.journal.close()
        assert not [producer for producer in self.brokers.producers if producer.is_sending], (
            "a producer that could still send was left running"
        )

    # -- what happens ------------------------------------------------------------------------------

    @rule(
        kinds=st.lists(
            st.lists(st.sampled_from(["good"] * 8 + ["bad", "poison"]), min_size=1, max_size=3), min_size=1, max_size=30
        )
    )
    def receive(self, kinds):
        """Receive frames; some have a bad record, some a record that Kafka refuses."""
        for of_frame in kinds:
            texts, identities = [], []
            for kind in of_frame:
                self.volumes += 1
                isin = ISINS[self.volumes * 7 % len(ISINS)]
                text = record(isin, POISON if kind == "poison" else 1, self.volumes, "1e9" if kind == "bad" else "1.00")
                texts.append(text)
                identities.append((isin, self.volumes))
                self.texts[isin, self.volumes] = text.encode()
                if kind != "good":
                    self.letters.add((isin, self.volumes))
            self._append(frame(*texts), identities)

    @rule(raw=st.sampled_from([b"", b"||||", b"\xff", b"1|H0BJCNT0|001|AAAA"]))
    def receive_nonsense(self, raw):
        """Receive a frame without a readable record."""
        self.volumes += 1
        text = raw + str(self.volumes).encode() if raw else str(self.volumes).encode()
        old = frame(raw=text)  # so old that nothing waits for a key
        self._append(old._replace(received_ns=old.received_ns - 60_000_000_000), [(None, self.volumes)])
        self.texts[None, self.volumes] = text
        self.letters.add((None, self.volumes))

    def _append(self, one, identities):
        self.journal.append(one)
        self.frames.append(identities)
        self.raws.append(one.raw)

    @rule(seconds=st.sampled_from([0.001, 0.003, 0.05, 1.0, 20.0]))
    def time_passes(self, seconds):
        """Run everything that is due."""
        self.run(asyncio.sleep(seconds))

    @rule(broker=st.sampled_from(["broker-0", "broker-1"]))
    def broker_hangs(self, broker):
        """Make a broker accept requests without an answer."""
        self.brokers.hanging.add(broker)

    @rule()
    def brokers_recover(self):
        """Make every broker answer again."""
        self.brokers.hanging.clear()

    @rule(number=st.integers(0, PARTITIONS - 1), leader=st.sampled_from(["broker-0", "broker-1", None]))
    def leader_moves(self, number, leader):
        """Give a partition another leader, or none."""
        self.brokers.leads[TICKS, number] = leader

    @rule(count=st.integers(1, 3))
    def answers_get_lost(self, count):
        """Write the next batches without an acknowledgement."""
        self.brokers.silent_answers += count

    @rule(count=st.integers(1, 3))
    def connections_break(self, count):
        """Fail the next batches with an error that may pass."""
        self.brokers.passing_errors += count

    @rule(
        topic=st.sampled_from([TICKS, DEAD_LETTERS]),
        kind=st.sampled_from([None, "stamp", "size", "policy", "no key"]),
        names=st.booleans(),
        doubtful=st.integers(0, 2),
    )
    def records_are_refused(self, topic, kind, names, doubtful):
        """Make a topic refuse records; the brokers may name them, and may be in doubt."""
        self.brokers.refused[topic] = kind
        self.brokers.names_records = names
        self.brokers.doubtful_refusals = doubtful

    @rule()
    def stop_and_start(self):
        """Stop the connector in order and start it again."""
        self.run(self._stop())
        self._begin_again(self.journal.last_seq)

    @rule()
    def kill_and_start(self):
        """Kill the connector, so that only its files remain, and start it again."""
        committed = self.journal.committed_seq
        self.generation += 1
        new = self.folder / str(self.generation)
        shutil.copytree(self.path, new)
        self.run(self._stop())
        self.path = new
        self._begin_again(committed)

    def _begin_again(self, committed):
        """Start from the files; what was delivered above the saved watermarks is sent once more.

        A lane's own watermark counts as far as no dead letter is missing.
        """
        del self.frames[committed:], self.raws[committed:]
        self.run(self._start())
        begin, saved = self.journal.watermark, self.journal.lanes_at_start
        letters = saved.get(f"{DEAD_LETTERS}/0 of 1", begin)
        lanes = {f"{TICKS}/{number} of {PARTITIONS}": number for number in range(PARTITIONS)}
        through = {number: min(letters, saved.get(name, begin)) for name, number in lanes.items()}
        written = {(topic, _identity(topic, each)) for (topic, _), log in self.brokers.logs.items() for each in log}
        for seq, identities in enumerate(self.frames, 1):
            for isin, volume in identities:
                ends = begin if isin is None else max(begin, through[partition(isin.encode(), PARTITIONS)])
                self.allowed_copies += seq > begin and (DEAD_LETTERS, (isin, volume)) in written
                self.allowed_copies += seq > ends and (TICKS, (isin, volume)) in written

    # -- what must hold ----------------------------------------------------------------------------

    def _written(self):
        return [_identity(topic, written) for (topic, _), log in self.brokers.logs.items() for written in log]

    @invariant()
    def nothing_finished_is_missing(self):
        """G1: every record of a frame up to the watermark is in Kafka."""
        written = set(self._written())
        done = self.journal.watermark
        for identities, raw in zip(self.frames[:done], self.raws[:done], strict=True):
            assert raw in self.lost or written.issuperset(identities)

    @invariant()
    def nothing_committed_is_gone(self):
        """G1: every committed frame above the watermark can be read."""
        watermark, committed = self.journal.watermark, self.journal.committed_seq
        after, frames = watermark, 0
        while after < committed:
            block = self.run(self.journal.read_again(after, committed, 10_000))
            after, frames = block.last_seq, frames + len(block.frames)
        assert frames == committed - watermark

    @invariant()
    def books_balance(self):
        """Received = finished + pending + lost; nothing in flight is negative."""
        journal = self.journal
        assert journal.received == len(self.frames)
        assert journal.received == journal.finished + journal.pending + sum(journal.lost.values())
        assert set(journal.lost) <= {"dead_letter_refused"}
        assert self.delivery.counts.in_flight >= 0

    @invariant()
    def first_copies_are_in_order(self):
        """G2: in each partition, the first copies of ticks are in receive order."""
        for (topic, number), log in self.brokers.logs.items():
            if topic == TICKS:
                found = dict.fromkeys(_identity(topic, written) for written in log)
                volumes = [identity[1] for identity in found if identity not in self.brokers.refused_ticks]
                assert volumes == sorted(volumes), number

    @invariant()
    def copies_are_explained(self):
        """G3: lost answers and kills explain every second copy, and each copy is equal."""
        written = self._written()
        copies = len(written) - len(set(written))
        assert copies <= self.allowed_copies + self.brokers.written_unanswered
        said = {}
        for (topic, _), log in self.brokers.logs.items():
            for each in log:
                assert said.setdefault((topic, _identity(topic, each)), each.value) == each.value

    @invariant()
    def letters_keep_their_text(self):
        """Check that dead letters hold the received text, and that only bad records became one."""
        for written in self.brokers.logs[DEAD_LETTERS, 0]:
            identity = _identity(DEAD_LETTERS, written)
            assert identity in self.letters or identity in self.brokers.refused_ticks
            assert written.value == self.texts[identity]

    def teardown(self):
        """End all faults: then everything received becomes a tick or a dead letter."""
        if not hasattr(self, "frames"):
            return
        brokers = self.brokers
        brokers.hanging.clear()
        brokers.silent_answers = brokers.passing_errors = brokers.doubtful_refusals = 0
        brokers.refused = {TICKS: None, DEAD_LETTERS: None}
        brokers.leads.update({(TICKS, number): f"broker-{number % 2}" for number in range(PARTITIONS)})

        async def finish():
            async with asyncio.timeout(HEALED_SECONDS):
                await self.delivery.drained(self.journal.last_seq)

        try:
            self.run(finish())
            for check in (
                self.nothing_finished_is_missing,
                self.books_balance,
                self.first_copies_are_in_order,
                self.copies_are_explained,
            ):
                check()
            assert self.delivery.counts.in_flight == 0
            assert self.journal.pending == 0
            ticks = Counter(identity for identities in self.frames for identity in identities)
            assert max(ticks.values(), default=1) == 1
            buried = {_identity(DEAD_LETTERS, written) for written in brokers.logs[DEAD_LETTERS, 0]}
            lost = {
                one
                for raw, of_frame in zip(self.raws, self.frames, strict=True)
                if raw in self.lost
                for one in of_frame
            }
            assert buried >= (self.letters & set(ticks)) - lost
        finally:
            self.run(self._stop())
            self.world.close()
            self.loop.close()
            asyncio.set_event_loop(None)
            shutil.rmtree(self.folder)


async def _framing():
    return SCHEMA.single_object_prefix


def _memory_folder():
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TestDelivery = Machine.TestCase
TestDelivery.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
