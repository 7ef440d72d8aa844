"""Fills ClickHouse's tables from the topics and runs a query, with ClickHouse in this process.

A ClickHouse server needs none of this: there the tables that `kis-bond schema ddl --for clickhouse`
prints read the topic themselves.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from chdb.session import Session
from confluent_kafka import Consumer, Message, TopicPartition

# The printed text has the queue that a server reads Kafka with. Here this program is the queue.
OF_A_SERVER = "CREATE TABLE bond_ticks_queue", "CREATE MATERIALIZED VIEW"
STATUS_TABLE = """
CREATE TABLE bond_status (isin String, state String, updated_at DateTime64(3, 'UTC'))
ENGINE = MergeTree ORDER BY (isin, updated_at)
"""


def main() -> None:
    """Run the query over the topics as they are at present."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("query", type=Path, help="windows.sql or status.sql")
    parser.add_argument("--tables", type=Path, default=Path("bond_ticks.sql"), help="what schema ddl printed")
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--ticks", default="bond.ticks", help="the topic of ticks")
    parser.add_argument("--status", default="bond.subscriptions.status", help="the topic of status records")
    parser.add_argument("--registry", default="http://localhost:8081/apis/ccompat/v7")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        session = Session(f"{folder}/clickhouse")
        session.query("CREATE DATABASE bonds ENGINE = Atomic")
        session.query("USE bonds")
        for statement in options.tables.read_text().split(";"):
            if statement.strip() and not any(each in statement for each in OF_A_SERVER):
                session.query(statement)
        session.query(STATUS_TABLE)
        load_ticks(session, options, Path(folder) / "ticks.bin")
        load_status(session, options, Path(folder) / "status.json")
        rows = session.query(options.query.read_text(), "TSV").data().splitlines()
        session.close()
    for row in rows:
        print(row.replace("\t", "|"))


def load_ticks(session: Session, options: argparse.Namespace, file: Path) -> None:
    """Insert the values of the topic as they are: each brings the id of its schema."""
    with file.open("wb") as out:
        out.writelines(message.value() for message in messages(options.brokers, options.ticks))
    columns = session.query("SELECT name, type FROM system.columns WHERE table = 'bond_ticks'", "JSONEachRow").data()
    # With the table's columns, and not inferred ones: those would be the first schema's.
    structure = ", ".join(f"`{one['name']}` {one['type']}" for one in map(json.loads, columns.splitlines()))
    structure = structure.replace("'", "\\'")
    session.query(
        f"INSERT INTO bond_ticks SELECT * FROM file('{file}', 'AvroConfluent', '{structure}') "
        f"SETTINGS format_avro_schema_registry_url = '{options.registry}'"
    )


def load_status(session: Session, options: argparse.Namespace, file: Path) -> None:
    """Insert the states of bonds, with the times of their records."""
    with file.open("w") as out:
        for message in messages(options.brokers, options.status):
            kind, _, isin = message.key().decode().partition("/")
            if kind == "instrument":  # the others are list/<name> and slot/<k>
                # A tombstone says that the bond is not wanted any more.
                state = json.loads(message.value())["state"] if message.value() else "UNWANTED"
                row = {"isin": isin, "state": state, "updated_at": message.timestamp()[1] / 1000}
                out.write(json.dumps(row) + "\n")
    session.query(f"INSERT INTO bond_status SELECT * FROM file('{file}', 'JSONEachRow')")


def messages(brokers: str, topic: str) -> Iterator[Message]:
    """Yield the records of a topic from its start to its present end."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "bond-example",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })  # fmt: skip
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error:
        raise ValueError(f"Topic {topic}: {metadata.error.str()}")
    consumer.assign([TopicPartition(topic, partition, 0) for partition in metadata.partitions])
    unread = set(metadata.partitions)
    while unread:
        message = consumer.poll(30)
        if message is None:
            raise TimeoutError(f"Kafka sent nothing of {topic} for 30 s")
        if message.error() is None:
            yield message
        elif message.error().code() == -191:  # _PARTITION_EOF
            unread.discard(message.partition())
        elif message.error().fatal():
            raise OSError(message.error().str())
    consumer.close()


if __name__ == "__main__":
    main()
