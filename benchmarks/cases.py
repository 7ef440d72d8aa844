"""What is measured: each case runs its entries in turn, and compares the first with each other."""

from dataclasses import dataclass

MANY_BONDS = 1_000
MANY_SESSIONS = 25  # as many as 1,000 bonds need, at KIS's 41 a session
PACED_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a case. `bonds` None is the number that the command line gives.

    `audited`: whether `kis-bond audit` reads the ticks while they are written. `latest`: whether
    the connector keeps the topic of latest values.
    """

    label: str
    pipeline: str = "ours"
    bonds: int | None = None
    sessions: int = 1
    audited: bool = False
    latest: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `ticks_per_second` 0 is as fast as possible.

    In an outage, Kafka stops before the first tick and starts when all are journalled.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    per_frame: int = 1
    ticks_per_second: int = 0
    outage: bool = False

    def ticks(self, asked: int) -> int:
        """Return the ticks of one run: those asked for, or ten seconds of the case's pace."""
        return self.ticks_per_second * PACED_SECONDS or asked


PEERS = (
    Entry("connector"),
    Entry("straightforward", "straightforward"),
    Entry("confluent-kafka", "confluent"),
)
CASES = {
    case.name: case
    for case in (
        Case("single", "1 tick a frame", PEERS),
        Case("nineteen", "19 ticks a frame", PEERS, per_frame=19),
        Case("paced-1000", "1 tick a frame, 1,000 a second", PEERS, ticks_per_second=1_000),
        Case("paced-2000", "1 tick a frame, 2,000 a second", PEERS, ticks_per_second=2_000),
        Case(
            "bonds",
            "1 tick a frame, many bonds against few",
            (Entry("1,000 bonds", bonds=MANY_BONDS), Entry("41 bonds", bonds=41)),
        ),
        Case(
            "sessions",
            "1 tick a frame, 1,000 bonds on many sessions against one",
            (Entry("25 sessions", bonds=MANY_BONDS, sessions=MANY_SESSIONS), Entry("1 session", bonds=MANY_BONDS)),
        ),
        Case(
            "audited",
            "1 tick a frame, beside an auditor against without one",
            (Entry("beside an auditor", audited=True), Entry("connector")),
        ),
        Case(
            "latest",
            "1 tick a frame, with latest values against without",
            (Entry("latest values", latest=True), Entry("connector")),
        ),
        Case("drain", "1 tick a frame, all journalled before Kafka comes back", (Entry("connector"),), outage=True),
    )
}
SOAK = Case("soak", "1 tick a frame, memory over a long run", (Entry("connector"),))
