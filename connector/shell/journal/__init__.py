"""Keeps every received frame until Kafka has acknowledged it, and for some time after.

How the journal works
---------------------
A journal is a folder that one process holds by the file `lock`. It is an append-only log:

    00000000000000000001.log    segments: a header, then records; named by their first number
    00000000000000350017.log    only the last one grows
    progress                    watermark, last synced number, counts, lost ranges, `alive_at`
    saved.json                  small texts of other parts: lists, schema id, slots, events

Each frame gets the next number when it arrives, before any disk is touched. From then on it is
pending, and becomes finished (Kafka has it) or lost. `Tally` counts this, so at every moment
received = finished + pending + lost. A record carries its frame's number and a checksum.

A frame's way, and the numbers that follow it:

    append ──> memory ──write()──> segment ──fdatasync──> disk       delivery ──> Kafka
    last_seq               committed_seq          synced_seq          watermark

Three threads touch the folder. The writer appends what gathered in one call of the system, begins
new segments and unlinks finished ones. The syncer makes that durable every fifth of a second, and
then replaces `progress`. The reader reads again what memory no longer holds.

Rules that keep every frame:

* `progress` never holds a watermark above what is on the disk, and a segment is unlinked only
  after a `progress` that covers it is on the disk.
* The log has each number as a frame or in a mark, which says why there is none: it was lost, or
  delivered before the log had it. `progress` has the latest marks of lost numbers, too. Any other
  number missing above the watermark is `corrupt`.
* A segment begins with the cipher keys and the finished numbers of that moment, so it can be read
  alone. An opening therefore reads only the last segment, and damage in others is found when they
  are read.
* Damaged bytes are skipped up to the next whole record, and so is what the disk has not given for a
  minute. Damage at the very end is a torn tail, and is cut.
* Before each write, finished segments go until all files fit in `max_bytes`. If they do not, the
  new frames are lost as `journal_full`. Frames leave a spare for `saved.json`, which has to tell of
  these losses.
* While a write fails or takes over a second, delivery reads from memory, which is bounded. Then
  what is unfinished is written. Nobody waits for the disk but the two threads, except that the
  event loop gives a small write a fifth of a millisecond while the disk works.
* After a failed sync all segments that are not known to be whole on the disk are given up. What
  they held above the last synced number is written again, to a new segment, which replaces any
  after it.

The pure parts are in `core/journal`: the bytes, the counts, the memory.
"""

from connector.core.journal.loss import Loss
from connector.core.journal.record import Block, LossReason
from connector.shell.journal.journal import Journal
from connector.shell.journal.start import Unopened

__all__ = ["Block", "Journal", "Loss", "LossReason", "Unopened"]
