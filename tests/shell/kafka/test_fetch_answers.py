"""What the broker's answers say of a partition."""

from types import SimpleNamespace

from connector.shell.kafka import fetch_answers
from connector.shell.kafka.fetch_answers import FetchAnswers


class Consumer:
    """The broker's last answer as aiokafka notes it: its time, and how far the log reaches."""

    def __init__(self):
        self.stamp = None
        self.stable = 9
        self.high = 9
        self.listeners = []
        self._client = SimpleNamespace(cluster=SimpleNamespace(add_listener=self.listeners.append))

    def last_poll_timestamp(self, _):
        return self.stamp

    def last_stable_offset(self, _):
        return self.stable

    def highwater(self, _):
        return self.high


def test_two_empty_answers_at_one_position_are_the_end():
    """The end is reached if the broker knows of it and twice answers that nothing follows."""
    consumer = Consumer()
    answers = FetchAnswers(consumer, None)
    for stamp, position, empty, is_end in [
        (None, 5, True, False),  # no answer yet
        (1, 5, True, False),  # the first empty answer: data may still be in the buffer
        (1, 5, True, False),  # no further answer
        (2, 5, True, True),
        (3, 7, False, False),
        (4, 7, True, False),
        (5, 8, True, False),  # a marker was skipped
        (6, 8, True, False),
        (7, 8, True, True),
    ]:
        consumer.stamp = stamp
        answers.note(position, empty=empty)
        assert answers.nothing_follows(9) is is_end, stamp
        assert answers.lag == (0 if is_end else 9 - position)
    consumer.stable = 8
    assert not answers.nothing_follows(9)


def test_silence_is_the_time_spent_waiting_for_an_answer(monkeypatch):
    """A silence is seen while it lasts and when an answer ends it; time between polls is none."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(fetch_answers, "time", SimpleNamespace(monotonic=lambda: clock.now))
    consumer = Consumer()
    answers = FetchAnswers(consumer, None)
    for stamp, processing, waiting, silent in [(1, 0, 1, 1), (1, 60, 2, 2), (1, 0, 2, 4), (2, 9, 3, 7), (3, 0, 1, 1)]:
        clock.now += processing
        answers.wait()
        clock.now += waiting
        consumer.stamp = stamp
        answers.note(5, empty=True)
        assert answers.silent_seconds == silent


def test_an_open_transaction_holds_up_what_follows_until_it_ends():
    """Everything after our position waits while the high watermark is above the stable offset."""
    consumer = Consumer()
    answers = FetchAnswers(consumer, None)
    for stable, high, position, is_held_up in [
        (9, 9, 9, False),
        (9, 11, 8, False),
        (9, 11, 9, True),
        (12, 12, 9, False),
    ]:
        consumer.stable, consumer.high = stable, high
        answers.note(position, empty=True)
        assert (answers.held_up_seconds > 0) is is_held_up
        assert answers.lag == high - position


def test_a_topic_that_the_broker_does_not_know_was_deleted():
    """Only an unknown topic counts as deleted, not one that may not be read."""
    consumer = Consumer()
    answers = FetchAnswers(consumer, SimpleNamespace(topic="a"))
    (note,) = consumer.listeners
    for topics, unauthorized, is_deleted in [({"a", "b"}, set(), False), (set(), {"a"}, False), ({"b"}, set(), True)]:
        note(SimpleNamespace(topics=lambda topics=topics: topics, unauthorized_topics=unauthorized))
        assert answers.is_deleted is is_deleted
