"""Writes a list of bonds to the control topic, after which the connector subscribes to them."""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf


def main() -> None:
    """Write the list. The key is its name, and fields that are null are left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--control", default="bond.subscriptions", help="the control topic")
    parser.add_argument("isins", nargs="+")
    options = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    wish = sf.struct(
        sf.array(*map(sf.lit, options.isins)).alias("instruments"),
        sf.lit(7).alias("priority"),
        sf.lit("spark").alias("requested_by"),
        sf.lit(None).cast("string").alias("note"),
    )
    records = spark.range(1).select(sf.lit("spark-desk").alias("key"), sf.to_json(wish).alias("value"))
    writer = records.write.format("kafka").option("kafka.bootstrap.servers", options.brokers)
    writer.option("topic", options.control).save()


if __name__ == "__main__":
    main()
