"""A Kafka broker inside this process, for the demo and quick tests.

It is librdkafka's mock cluster, called through ctypes.
"""

import ctypes
import importlib
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

PRODUCER = 0  # of rd_kafka_type_t; the mock cluster needs a client object, which never connects
LOG_EMERGENCIES = b"0"
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # length, ApiVersions, version 0, correlation id, no client id
ANSWER_SECONDS = 10


class EmbeddedKafkaMissing(Exception):
    """The installation has no librdkafka, or one without the mock cluster."""


class EmbeddedKafka:
    """Brokers on loopback ports in librdkafka's own threads.

    The brokers end with `close` or with the `with` block. `topics` maps each topic's name to its
    number of partitions. When a client asks for another topic, the brokers create it with four
    partitions.

    These brokers are good for a demo but prove nothing. Each partition keeps its newest 5 MiB of
    batches (some 16,000 records of 300 bytes). A reader that asks for an older record gets
    OFFSET_OUT_OF_RANGE. Nothing is compacted or persisted. There are no ACLs, no TLS and no
    CreateTopics. The brokers check sequence numbers only of producers with a transactional id, and
    readers also get the records of aborted transactions. Groups, `read_committed` readers and
    idempotent producers work.

    Source: librdkafka's src/rdkafka_mock.h and src/rdkafka_mock.c.
    """

    def __init__(self, topics: Mapping[str, int], brokers: int = 1) -> None:
        """Start the brokers and create the topics.

        Raises EmbeddedKafkaMissing or RuntimeError.
        """
        self._library = _library()
        self._client: int | None = self._new_client()
        self._cluster: int | None = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        try:
            self.bootstrap_servers = self._create_all(topics, brokers)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the brokers and lose all their records. A second call does nothing."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
        if self._client:
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _create_all(self, topics: Mapping[str, int], brokers: int) -> str:
        if not self._cluster:
            raise RuntimeError("librdkafka did not start its mock cluster")
        addresses: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        host, port = addresses.split(",", maxsplit=1)[0].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as probe:
            for name, partitions in topics.items():
                # librdkafka accepts a topic without partitions silently.
                if partitions < 1 or self._library.rd_kafka_mock_topic_create(
                    self._cluster, name.encode(), partitions, brokers
                ):
                    raise RuntimeError(f"librdkafka did not create topic {name} with {partitions} partitions")
                # The mock's loop first executes its orders, then empties the pipe that wakes it. An
                # order that came between these two steps would wait for a second. The answer to the
                # request below shows that the loop has done both steps
                # (rd_kafka_mock_cluster_io_poll in rdkafka_mock.c).
                probe.sendall(API_VERSIONS)
                probe.recv(4096)
        return addresses

    def _new_client(self) -> int:
        configuration = self._library.rd_kafka_conf_new()
        problem = ctypes.create_string_buffer(512)
        self._library.rd_kafka_conf_set(configuration, b"log_level", LOG_EMERGENCIES, problem, len(problem))
        client = self._library.rd_kafka_new(PRODUCER, configuration, problem, len(problem))
        if not client:
            raise RuntimeError(f"librdkafka did not start: {problem.value.decode()}")
        return int(client)


def _library() -> ctypes.CDLL:
    """Return librdkafka from the confluent-kafka wheel, with the types of the functions we call."""
    try:
        importlib.import_module("confluent_kafka")  # loads librdkafka and the libraries it needs
        library = ctypes.CDLL(str(_library_path()))
        new_cluster = library.rd_kafka_mock_cluster_new
    except (ImportError, OSError, AttributeError) as error:
        raise EmbeddedKafkaMissing(
            f"The embedded broker needs the confluent-kafka wheel ({error}): install the built file with "
            "its extra demo, or give --bootstrap-servers of a real Kafka"
        ) from error
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_conf_set.argtypes = [pointer, text, text, text, ctypes.c_size_t]
    library.rd_kafka_new.argtypes, library.rd_kafka_new.restype = [number, pointer, text, ctypes.c_size_t], pointer
    library.rd_kafka_destroy.argtypes, library.rd_kafka_destroy.restype = [pointer], None
    new_cluster.argtypes, new_cluster.restype = [pointer, number], pointer
    library.rd_kafka_mock_cluster_destroy.argtypes, library.rd_kafka_mock_cluster_destroy.restype = [pointer], None
    library.rd_kafka_mock_cluster_bootstraps.argtypes, library.rd_kafka_mock_cluster_bootstraps.restype = (
        [pointer],
        text,
    )
    library.rd_kafka_mock_topic_create.argtypes = [pointer, text, number, number]
    return library


def _library_path() -> Path:
    """Return the path of the wheel's shared library.

    On macOS it is in the package's `.dylibs` folder, elsewhere in a folder beside the package.
    """
    package = Path(str(sys.modules["confluent_kafka"].__file__)).parent
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
        for pattern in ("librdkafka-*", "librdkafka.*"):
            for found in sorted(folder.glob(pattern)):
                return found
    raise ImportError(f"no librdkafka beside {package}")
