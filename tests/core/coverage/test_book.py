"""The days of one partition."""

from datetime import date

import pytest

from connector.core.coverage.book import Book, doubt_divided
from connector.core.coverage.facts import Facts
from connector.core.coverage.readable import PIECE_BYTES
from connector.core.coverage.record import NotACoverageRecord, encode
from tests.core.coverage.trades import FRIDAY, ISIN, MONDAY, at, is_weekday, tick

NOW = at("12:00")


@pytest.fixture
def book():
    """Return a book with the hole (10, 30] on Friday."""
    made = Book(is_weekday)
    for each in (tick(0, 10, offset=1), tick(30, 40, offset=2)):
        made.add(each, at("10:00"))
    made.settle(NOW, 5000, Facts())
    return made


def write_all(book):
    """Write the records of all changed days and return them."""
    return [encode(day) for day in list(book.changed())]


def tell(book):
    """Announce all holes."""
    for day, each in list(book.announcements(NOW)):
        each.acknowledge(day)


def restored(*records):
    """Return a book that has read these records."""
    made = Book(is_weekday)
    for key, value, headers in records:
        made.restore(key, value, dict(headers), NOW)
    return made


def test_each_tick_belongs_to_its_own_date(book):
    """A late tick of the day before changes the day before."""
    assert book.add(tick(0, 5, day=MONDAY), at("09:00", MONDAY)) == "extended"
    assert book.add(tick(10, 30), at("09:00", MONDAY)) == "filled"
    assert {key: day.accumulated_volume for key, day in book.days.items()} == {(ISIN, FRIDAY): 40, (ISIN, MONDAY): 5}


def test_a_tick_on_a_closed_day_is_irregular(book):
    """The calendar decides, not the tick."""
    assert book.add(tick(50, 60, day=date(2026, 9, 12)), NOW) == "irregular"


def test_days_are_written_when_they_changed(book):
    """A record that holds all is not written again."""
    assert len(write_all(book)) == 1
    assert write_all(book) == []
    book.add(tick(40, 50), NOW)
    assert len(write_all(book)) == 1


def test_the_record_with_the_lower_offset_is_ignored(book):
    """A member that had lost the partition wrote it."""
    (old,) = write_all(book)
    book.add(tick(40, 50, offset=9), NOW)
    (new,) = write_all(book)
    assert restored(new, old).days[ISIN, FRIDAY].accumulated_volume == 50
    assert restored(old, new).days[ISIN, FRIDAY].accumulated_volume == 50


def test_the_later_of_two_records_with_the_same_offset_counts(book):
    """What changed without a tick, such as an announcement, is in the later one."""
    (old,) = write_all(book)
    for day, each in list(book.announcements(NOW)):
        each.acknowledge(day)
    (new,) = write_all(book)
    assert restored(old, new).days[ISIN, FRIDAY].holes[0].is_announced


def test_a_record_that_is_none_is_refused():
    """The caller counts it and goes on."""
    with pytest.raises(NotACoverageRecord):
        Book(is_weekday).restore(b"x", b"{}", {}, NOW)


def test_what_is_read_back_is_bounded(book):
    """A flood of foreign records neither fills the memory nor stops a day that is known."""
    (old,) = write_all(book)
    book.add(tick(40, 50, offset=9), NOW)
    (new,) = write_all(book)
    made = Book(is_weekday, most_bytes=len(new[1]) + PIECE_BYTES)
    foreign = (b"KR6095572D81/2026-09-11", old[1], {})
    made.restore(*old[:2], {}, NOW)
    with pytest.raises(NotACoverageRecord, match="most there can be"):
        made.restore(*foreign, NOW)
    made.restore(*new[:2], {}, NOW)
    assert [day.accumulated_volume for day in made.days.values()] == [50]
    made.remove(ISIN, FRIDAY)
    made.restore(*foreign, NOW)
    assert [isin for isin, _ in made.days] == ["KR6095572D81"], "there is room again"


def test_a_record_of_a_day_to_come_is_refused(book):
    """It would stay in memory until that day is over. Clocks may differ by a day."""
    ((_, value, _),) = write_all(book)
    made = Book(is_weekday)
    made.resume(f"{ISIN}/2026-09-12".encode(), value, {}, NOW)
    with pytest.raises(NotACoverageRecord, match="yet to come"):
        made.resume(f"{ISIN}/2026-09-13".encode(), value, {}, NOW)
    assert made.days.keys() == {(ISIN, date(2026, 9, 12))}


def test_holes_of_older_dates_are_not_announced(book):
    """A replay of an old date updates its record in silence."""
    assert [each.hole.id for _, each in book.announcements(NOW)] == [f"{ISIN}/2026-09-11/10-30"]
    assert len(list(book.announcements(at("12:00", MONDAY)))) == 1
    assert list(book.announcements(at("12:00", date(2026, 9, 15)))) == []


def test_a_day_leaves_memory_on_the_next_trading_day(book):
    """It stays until its record is written and no tick of it came meanwhile."""
    nine = at("09:00", MONDAY)
    tell(book)
    book.forget(nine)
    write_all(book)
    book.forget(nine - 1)
    book.forget(nine)
    assert not book.was_forgotten(ISIN, FRIDAY, nine)
    book.forget(nine)
    assert book.days == {}
    assert book.was_forgotten(ISIN, FRIDAY, nine)
    assert not book.was_forgotten(ISIN, FRIDAY, nine - 1)
    assert not book.was_forgotten(ISIN, MONDAY, nine)


def test_a_replayed_day_stays_while_its_ticks_come(book):
    """A day that was read back is not dropped and read back for each tick."""
    nine = at("09:00", MONDAY)
    tell(book)
    for high in range(50, 80, 10):
        write_all(book)
        book.forget(nine)
        assert (ISIN, FRIDAY) in book.days
        book.add(tick(high - 10, high), nine)


def test_a_start_keeps_no_day_that_is_finished(book):
    """It is read back if a tick of it comes."""
    tell(book)
    ((key, value, headers),) = write_all(book)
    for now, kept in ((at("09:00", MONDAY) - 1, 1), (at("09:00", MONDAY), 0)):
        again = Book(is_weekday)
        again.resume(key, value, dict(headers), now)
        assert len(again.days) == kept


def test_a_day_stays_until_its_holes_are_announced(book):
    """A late tick can fill a hole of a day whose time is over, shortly before a restart."""
    tell(book)
    book.add(tick(10, 30), at("10:00", MONDAY))
    ((key, value, headers),) = write_all(book)
    again = Book(is_weekday)
    for _ in range(2):
        again.resume(key, value, dict(headers), at("10:00", MONDAY))
        again.forget(at("10:00", MONDAY))
    assert [each.events[-1].event for _, each in again.announcements(at("10:00", MONDAY))] == ["backfill"]
    again.forget(at("10:00", date(2026, 9, 15)))
    again.forget(at("10:00", date(2026, 9, 15)))
    assert again.days == {}, "nobody hears of an older date"


def test_a_day_stays_until_its_holes_have_their_ids(book):
    """A replay of an old date that left a hole waits for it, too."""
    tell(book)
    book.add(tick(50, 60), at("10:00", MONDAY))
    ((key, value, headers),) = write_all(book)
    again = Book(is_weekday)
    again.resume(key, value, dict(headers), at("10:00", date(2026, 9, 15)))
    assert [day.is_waiting for day in again.days.values()] == [True]


def test_a_doubt_about_a_date_is_one_about_all_its_bonds(book):
    """Also about those whose first tick comes later."""
    write_all(book)
    book.doubt(FRIDAY, "deleted")
    assert [day.reason for day in book.changed()] == ["deleted"]
    assert book.day("KR6095572D81", FRIDAY).reason == "deleted"
    assert book.day(ISIN, MONDAY).reason is None


def test_only_a_day_in_two_partitions_is_in_doubt(book):
    """A bond whose ticks of a date lie in two partitions is unproven for that date alone."""
    book.day("KR6095572D81", FRIDAY)
    grown = Book(is_weekday)
    grown.add(tick(40, 50), NOW)
    grown.day(ISIN, MONDAY)
    for _ in write_all(book) + write_all(grown):
        doubt_divided([book, grown])
    reasons = {(day.isin, day.trade_date, day.reason) for each in (book, grown) for day in each.days.values()}
    assert reasons == {(ISIN, FRIDAY, "partitions"), ("KR6095572D81", FRIDAY, None), (ISIN, MONDAY, None)}
    assert [day.trade_date for each in (book, grown) for day in each.changed()] == [FRIDAY, FRIDAY]
