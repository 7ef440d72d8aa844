"""Prints how many ticks of each bond came in which state of the bond: ISIN, state, ticks."""

import json
from bisect import bisect_right
from collections import Counter, defaultdict

from bond_ticks import arguments, messages, ticks


def main() -> None:
    """Join each tick with the latest status record that was written when the tick was received."""
    options = arguments(__doc__)
    states: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for message in messages(options.brokers, options.status):
        kind, _, name = message.key().decode().partition("/")
        if kind == "instrument":  # the others are list/<name> and slot/<k>
            # A tombstone says that the bond is not wanted any more.
            state = json.loads(message.value())["state"] if message.value() else "UNWANTED"
            states[name].append((message.timestamp()[1], state))
    counts: Counter[tuple[str, str]] = Counter()
    for tick in ticks(options):
        history = states[tick["STND_ISCD"]]
        # Not traded_at: it has whole seconds, so a first trade may be older than its bond's ACTIVE.
        received_ms = round(tick["received_at"].timestamp() * 1000)
        place = bisect_right(history, received_ms, key=lambda one: one[0])
        # The topic is compacted: of a long history only the latest record is certain to be there.
        counts[tick["STND_ISCD"], history[place - 1][1] if place else "UNKNOWN"] += 1
    for (isin, state), number in sorted(counts.items()):
        print(isin, state, number, sep="|")


if __name__ == "__main__":
    main()
