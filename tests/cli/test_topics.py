"""Tests of `kis-bond topics` with a real Kafka."""

import asyncio
import json
import time

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from connector.settings import load
from connector.shell import registry
from tests.core.ticks.test_compatibility import INCOMPATIBLE, edited
from tests.kafka.reader import QUIET, create_topics


def configs(kafka, topic):
    """Return the configuration of a topic, read by another client."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})
    described = admin.describe_configs([resource])[resource].result(20)
    return {name: entry.value for name, entry in described.items()}


def partitions(kafka, topic):
    """Return the number of a topic's partitions."""
    return len(
        AdminClient(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})
        .list_topics(timeout=20)
        .topics[topic]
        .partitions
    )


def test_init_creates_and_verify_finds_no_drift(cli, kafka, variables, topic_names):
    """Init creates topics without drift, so verify finds nothing and a second init does nothing."""
    first = cli("topics", "init", "--json", **variables)
    assert first.exit_code == 0, first.stderr
    assert {topic["state"] for topic in json.loads(first.stdout)["topics"]} == {"created"}
    assert topic_names.slots not in first.stdout
    control = configs(kafka, topic_names.control)
    wanted = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "CreateTime",
        "segment.ms": "21600000",
        "min.cleanable.dirty.ratio": "0.1",
    }
    assert wanted.items() <= control.items()
    assert configs(kafka, topic_names.ticks)["cleanup.policy"] == "delete"
    assert (partitions(kafka, topic_names.ticks), partitions(kafka, topic_names.control)) == (6, 1)
    coverage = {"cleanup.policy": "compact,delete", "retention.ms": "7776000000", "segment.ms": "21600000"}
    assert coverage.items() <= configs(kafka, topic_names.coverage).items()
    for command in ("init", "verify"):
        again = cli("topics", command, "--json", **variables)
        assert again.exit_code == 0, again.stderr
        report = json.loads(again.stdout)["topics"]
        assert {topic["state"] for topic in report} == {"exists"}
        assert [topic["drift"] + topic["warnings"] for topic in report] == [[]] * 6


def test_verify_of_nothing_creates_nothing(cli, kafka, variables, topic_names):
    """Missing topics are drift: verify ends with 5 and does not create them."""
    result = cli("topics", "verify", **variables)
    assert result.exit_code == 5
    assert result.stdout.count("drift: is missing: run kis-bond topics init") == 5
    assert result.stdout.count("warning: is missing, so that the auditor cannot start") == 1
    assert topic_names.ticks in result.stderr
    assert (
        topic_names.ticks
        not in AdminClient(QUIET | {"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=20).topics
    )


def test_coverage_gets_the_partitions_of_the_ticks(cli, kafka, variables, topic_names):
    """Beside a larger tick topic, the coverage topic is created as large."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 8})
    assert cli("topics", "init", **variables).exit_code == 0
    assert partitions(kafka, topic_names.coverage) == 8


def test_drift_is_reported_and_left(cli, kafka, variables, topic_names):
    """Init reports drift of an existing topic, does not change it, and creates the rest."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 2}, cleanup_policy="delete")
    result = cli("topics", "init", "--json", **variables)
    assert result.exit_code == 5
    report = {topic["topic"]: topic for topic in json.loads(result.stdout)["topics"]}
    assert len(report[topic_names.control]["drift"]) == 2
    assert report[topic_names.ticks]["state"] == "created"
    assert result.stderr.strip() == f"Drift was found in {topic_names.control}."
    assert (partitions(kafka, topic_names.control), configs(kafka, topic_names.control)["cleanup.policy"]) == (
        2,
        "delete",
    )


def test_slot_topic(cli, kafka, variables, topic_names, tmp_path):
    """With group coordination the slot topic gets a partition for each app key."""
    for slot in (0, 1, 2):
        for part in ("appkey", "appsecret"):
            (tmp_path / f"{part}-{slot}").write_text("x")
    group = variables | {"REPLICAS__COORDINATION": "group", "KIS__CREDENTIALS_DIR": tmp_path}
    assert cli("topics", "init", **group).exit_code == 0
    assert partitions(kafka, topic_names.slots) == 3
    drifted = cli("topics", "verify", "--slots", "4", **group)
    assert drifted.exit_code == 5
    assert "has 3 partitions for 4 app keys" in drifted.stdout


def test_more_replicas_than_brokers(cli, variables, kafka):
    """If Kafka refuses to create a topic, the message has Kafka's reason."""
    brokers = len(AdminClient(QUIET | {"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=20).brokers)
    result = cli("topics", "init", "--replication-factor", str(brokers + 1), **variables)
    assert result.exit_code == 5
    assert "was not created: InvalidReplicationFactorError" in result.stderr


def test_more_in_sync_than_replicas(cli, variables):
    """More in-sync replicas than replicas is a malformed request."""
    result = cli("topics", "init", "--replication-factor", "1", "--min-insync-replicas", "2", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing could be written" in result.stderr


def test_register_schema(cli, variables, registry_url, topic_names):
    """--register-schema registers the tick schema and gets the same id each time."""
    ids = {
        json.loads(
            cli("topics", "init", "--register-schema", "--json", REGISTRY__URL=registry_url, **variables).stdout
        )["schema_id"]
        for _ in "12"
    }
    assert len(ids) == 1


def test_register_schema_needs_a_registry(cli):
    """--register-schema without registry.url ends with 2 before Kafka is asked."""
    result = cli("topics", "init", "--register-schema", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert result.stderr.startswith("registry.url: is needed with --register-schema")


def test_kafka_away(cli):
    """If Kafka cannot be reached, verify ends soon with 5 and a sentence."""
    began = time.monotonic()
    result = cli("topics", "verify", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith("Kafka at 127.0.0.1:1 could not be asked: ")
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("command", ["init", "verify"])
@pytest.mark.parametrize(
    ("option", "most"),
    [
        ("--partitions", 10_000),
        ("--slots", 10_000),
        ("--replication-factor", 32_767),
        ("--min-insync-replicas", 32_767),
    ],
)
def test_a_size_that_kafka_cannot_make_is_refused(cli, command, option, most):
    """The first size too large ends with 2 before any connection, and the sentence has the most."""
    result = cli("topics", command, option, str(most + 1))
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': Input should be less than or equal to {most}" in result.stderr
    assert "Usage" in result.stderr
    allowed = cli("topics", command, option, str(most), HTTP__PORT="x")
    assert "http.port" in allowed.stderr  # the settings are read only if the options are allowed


def test_with_the_registry_away_init_says_what_it_did_and_what_not(cli, variables, kafka, topic_names):
    """The topics are created and shown, and the schema is named as not registered, with 5."""
    result = cli("topics", "init", "--register-schema", "--json", REGISTRY__URL="http://127.0.0.1:1", **variables)
    assert result.exit_code == 5
    report = json.loads(result.stdout)
    assert {topic["state"] for topic in report["topics"]} == {"created"}
    assert (report["subject"], report["schema_id"]) == (f"{topic_names.ticks}-value", None)
    assert result.stderr.startswith("The topics are there, but the schema of ticks is not registered: REG_UNREACHABLE")


def test_verify_looks_at_the_registrys_content_and_level(cli, variables, registry_url, topic_names):
    """A schema that is missing or does not fit is drift, and a weak level a warning."""
    given = variables | {"REGISTRY__URL": registry_url}
    assert cli("topics", "init", "--partitions", "6", **variables).exit_code == 0
    absent = cli("topics", "verify", **given)
    assert absent.exit_code == 5
    assert "does not hold this schema" in absent.stderr
    registered = cli("topics", "init", "--register-schema", **given)
    assert registered.exit_code == 0, registered.stderr
    assert "Warning: compatibility level NONE" in registered.stdout
    assert cli("topics", "verify", **given).exit_code == 0
    settings = load(None, {"KIS_BOND_REGISTRY__URL": registry_url}).registry
    changed = edited(INCOMPATIBLE["long to string"][0])
    asyncio.run(registry.register(settings, f"{topic_names.ticks}-value", changed))
    drifted = cli("topics", "verify", **given)
    assert drifted.exit_code == 5
    assert "version 2 does not fit: CNTG_VOL changes its type from string to long." in drifted.stderr
