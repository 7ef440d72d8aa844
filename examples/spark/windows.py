"""Prints one-minute windows of each bond from the stream of ticks.

A line has ISIN, start (UTC), open, high, low, close, volume, trades and value. A window is printed
again when a later tick changes it.
"""

import argparse
import shlex
import subprocess

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

# Spark drops a tick that comes later than this without a word, so this is longer than any outage.
# It remembers each tick_id and each window for as long.
LATEST = "36 hours"


def windows(trades: DataFrame) -> DataFrame:
    """Return the windows of trades, each tick counted once."""
    unique = trades.withWatermark("traded_at", LATEST).dropDuplicatesWithinWatermark(["tick_id"])
    order = sf.struct("trade_date", "day_volume")  # not the order of the topic, and traded_at has whole seconds
    return unique.groupBy("isin", sf.window("traded_at", "1 minute").start.cast("string").alias("start")).agg(
        sf.min_by("price", order).alias("open"),
        sf.max("price").alias("high"),
        sf.min("price").alias("low"),
        sf.max_by("price", order).alias("close"),
        sf.sum("volume").alias("volume"),
        sf.count("*").alias("trades"),
        sf.sum(sf.col("price") * sf.col("volume")).alias("value"),
    )


def show(changed: DataFrame, _batch: int) -> None:
    """Print the windows that a batch changed. In real use, merge them into a table."""
    for row in changed.collect():
        print(*row, sep="|", flush=True)


def run(spark: SparkSession, tables: str, options: argparse.Namespace) -> None:
    """Print the windows until the query is stopped, or to the topic's present end."""
    for statement in tables.split(";\n"):
        if statement.strip():
            spark.sql(statement)
    # The printed view of the topic reads what is there: a stream takes its place.
    stream = spark.readStream.format("kafka").option("kafka.bootstrap.servers", options.brokers)
    stream = stream.option("subscribe", options.ticks).option("startingOffsets", "earliest")
    stream.option("maxOffsetsPerTrigger", options.batch).load().createOrReplaceTempView("bond_ticks_raw")
    query = windows(spark.table("bond_trades")).writeStream.outputMode("update").foreachBatch(show)
    trigger = {"availableNow": True} if options.to_the_end else {"processingTime": "5 seconds"}
    query.option("checkpointLocation", options.checkpoint).trigger(**trigger).start().awaitTermination()


def printed(command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(shlex.split(command), check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Run the query, and go on with new tables when a tick has a schema that the tables lack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--ticks", default="bond.ticks", help="the topic of ticks")
    parser.add_argument("--tables", default="kis-bond schema ddl --for spark", help="a command that prints the tables")
    parser.add_argument("--checkpoint", required=True, help="a folder, from which the query goes on when started again")
    parser.add_argument("--batch", default="100000", help="the most ticks of a batch")
    parser.add_argument("--to-the-end", action="store_true", help="stop at the present end of the topic")
    options = parser.parse_args()
    spark = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    tables = printed(options.tables)
    while True:
        try:
            run(spark, tables, options)
            break
        except StreamingQueryException as problem:
            before, tables = tables, printed(options.tables)
            # Spark 4.1.1 also fails after the first batch of a query that goes on (SPARK-57438).
            if tables == before and "scala.Option.get()" not in str(problem):
                raise


if __name__ == "__main__":
    main()
