"""The dead letter of a refused tick holds the record's text as received."""

from connector.core.ticks.dead_letter import HIDDEN
from connector.logs import hide
from connector.shell.delivery.batch import Record
from connector.shell.delivery.position import position
from connector.shell.delivery.refused_ticks import letters_of
from tests.shell.delivery.frames import ISINS, MemoryJournal, frame, record


async def test_letters_are_made_from_the_frames_in_the_journal(monkeypatch):
    """Each refused tick of several frames, read a few at a time, becomes one letter, in order."""
    monkeypatch.setattr("connector.shell.delivery.refused_ticks.FRAMES_A_READ", 2)
    journal = MemoryJournal()
    texts = [[record(ISINS[place], accumulated=number) for place in range(3)] for number in range(9)]
    frames = [frame(*three) for three in texts]
    journal.append(*frames)
    ticks = [
        Record(position(seq, index), frames[seq - 1].received_ns, 1, ISINS[index].encode(), b"avro", ())
        for seq, index in ((2, 1), (2, 2), (5, 0), (9, 2))
    ]
    letters = [letter async for letter in letters_of(journal, ticks, "PolicyViolationError")]
    assert [letter.position for letter in letters] == [tick.position for tick in ticks]
    assert [letter.value.decode() for letter in letters] == [texts[1][1], texts[1][2], texts[4][0], texts[8][2]]
    assert {letter.reason for letter in letters} == {"KAFKA_REFUSED"}
    assert b"PolicyViolationError" in dict(letters[0].headers)["detail"]
    assert letters[0].timestamp_ms == frames[1].received_ns // 1_000_000


async def test_a_letter_shows_no_secret():
    """A secret that this process knows is hidden, although the tick was good."""
    hide(secret := "refused-canary-5f1c")
    journal = MemoryJournal()
    journal.append(frame(f"{record()}^{secret}"))
    tick = Record(position(1, 0), 1, 1, ISINS[0].encode(), b"avro", ())
    (letter,) = [letter async for letter in letters_of(journal, [tick], "PolicyViolationError")]
    assert letter.value == f"{record()}^".encode() + HIDDEN
