"""Prints the windows of windows.py, computed by DuckDB in the table of `kis-bond schema ddl`."""

from itertools import islice
from pathlib import Path

import duckdb
from bond_ticks import arguments, ticks

WINDOWS = """
SELECT
  isin,
  strftime(date_trunc('minute', traded_at), '%Y-%m-%d %H:%M:%S'),
  arg_min(price, (trade_date, day_volume)),
  max(price),
  min(price),
  arg_max(price, (trade_date, day_volume)),
  sum(volume),
  count(*),
  sum(price * volume)
FROM bond_trades
GROUP BY isin, date_trunc('minute', traded_at)
"""


def main() -> None:
    """Fill the table and print the windows."""
    options = arguments(__doc__)
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")  # otherwise strftime gives the machine's time
    database.execute(Path("bond_ticks.sql").read_text())
    names = [name for name, *_ in database.execute("SELECT * FROM bond_ticks LIMIT 0").description]
    row = f"({', '.join('?' for _ in names)})"
    unread = ticks(options)
    # Many rows a statement: row by row, DuckDB needs ten times as long.
    while batch := list(islice(unread, 500)):
        values = [tick[name] for tick in batch for name in names]
        database.execute(f"INSERT OR IGNORE INTO bond_ticks VALUES {', '.join([row] * len(batch))}", values)
    for row in database.execute(WINDOWS).fetchall():
        print(*row, sep="|")


if __name__ == "__main__":
    main()
