"""Prints one-minute windows: ISIN, start (UTC), open, high, low, close, volume, trades, value."""

from collections import defaultdict
from decimal import Decimal

from bond_ticks import Tick, arguments, ticks


def main() -> None:
    """Print the windows of all trades in the topic."""
    windows: dict[tuple, list[Tick]] = defaultdict(list)
    for tick in ticks(arguments(__doc__)):
        # Event time is when the trade was made. It has whole seconds.
        windows[tick["STND_ISCD"], tick["traded_at"].replace(second=0)].append(tick)
    for isin, start in sorted(windows):
        # The topic's order is not the order of the trades: the day's volume is.
        trades = sorted(windows[isin, start], key=lambda tick: (tick["trade_date"], tick["ACML_VOL"]))
        prices = [tick["STCK_PRPR"] for tick in trades]
        volume = sum(tick["CNTG_VOL"] for tick in trades)
        notional = sum((tick["STCK_PRPR"] * tick["CNTG_VOL"] for tick in trades), Decimal(0))
        parts = prices[0], max(prices), min(prices), prices[-1], volume, len(trades), notional
        print(isin, f"{start:%Y-%m-%d %H:%M:%S}", *parts, sep="|")


if __name__ == "__main__":
    main()
