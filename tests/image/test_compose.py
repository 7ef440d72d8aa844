"""compose.yaml: Compose understands it, its mounts exist, and its local images start."""

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
import uuid

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource

from connector.core.ticks.avro import TickSchema, decode
from connector.packaged_files import bond_tick
from tests.conftest import started
from tests.image.engine import ROOT, run
from tests.image.test_image import answer, wait_for
from tests.kafka.process import free_ports
from tests.kafka.reader import read_all
from tests.kafka.registry import Registry

FILE = ROOT / "compose.yaml"
LOCAL = ("simulator", "topics", "subscriptions", "connector", "auditor")
PROJECT = "kis-bond-connector-test"


@pytest.fixture(scope="module")
def services(compose):
    """Return the services as Compose reads them."""
    return yaml.safe_load(run([*compose, "--file", str(FILE), "config"]))["services"]


def test_compose_refuses_what_it_does_not_know(compose, tmp_path):
    """Compose refuses a misspelt name, so reading the file proves something."""
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text(FILE.read_text().replace("healthcheck:", "healthchek:", 1))
    assert misspelt.read_text() != FILE.read_text()
    assert (
        subprocess.run([*compose, "--file", str(misspelt), "config"], capture_output=True, check=False).returncode != 0
    )


def test_all_that_was_promised_is_there(services):
    """One `docker compose up` starts Kafka, registry, simulator, connector, auditor, monitoring."""
    assert set(services) == {"kafka", "registry", *LOCAL, "prometheus", "grafana"}


def test_what_is_mounted_exists(services):
    """Each mounted file and folder is in the repository."""
    mounted = re.findall(r"^\s+- \./([^:\s]+):", FILE.read_text(), re.MULTILINE)
    assert len(mounted) == 6
    assert [path for path in mounted if not (ROOT / path).exists()] == []


def test_ports_are_open_to_this_machine_only(services):
    """No service asks for a password, so each port is bound to the loopback."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert [
        port for port in ports if (port["host_ip"] if isinstance(port, dict) else port.split(":")[0]) != "127.0.0.1"
    ] == []


def test_images_are_pinned(services):
    """Each foreign image has a version."""
    others = [service["image"] for name, service in services.items() if name not in LOCAL]
    assert [image for image in others if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_any_image_can_be_pinned_by_digest(compose):
    """A variable for each foreign image, and one for our base, takes a reference with a digest."""
    text = FILE.read_text()
    variables = re.findall(r"\$\{(\w+_IMAGE):-", text)
    assert len(variables) == 5
    digest = "example.com/one@sha256:" + "0" * 64
    read = run([*compose, "--file", str(FILE), "config"], env=os.environ | dict.fromkeys(variables, digest))
    services = yaml.safe_load(read)["services"]
    assert {each["image"] for name, each in services.items() if name not in LOCAL} == {digest}
    assert services["connector"]["build"]["args"] == {"BASE": digest}


def test_ours_are_hardened(services):
    """Each container of our image has a read-only root, no capabilities and no new privileges."""
    for name in LOCAL:
        assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_addresses_name_services(services):
    """Prometheus, Grafana, connector and auditor point at services and ports of the file."""
    scraped = yaml.safe_load((ROOT / "compose/prometheus.yaml").read_text())["scrape_configs"]
    [source] = yaml.safe_load((ROOT / "compose/grafana-datasource.yaml").read_text())["datasources"]
    settings = services["connector"]["environment"] | services["auditor"]["environment"]
    addresses = [
        *(target for job in scraped for target in job["static_configs"][0]["targets"]),
        urllib.parse.urlsplit(source["url"]).netloc,
        settings["KIS_BOND_KAFKA__BOOTSTRAP_SERVERS"],
        *(urllib.parse.urlsplit(value).netloc for value in settings.values() if "://" in str(value)),
    ]
    listening = {
        "connector:8080",
        "auditor:8081",
        "prometheus:9090",
        "kafka:9092",
        "registry:8080",
        "simulator:9443",
        "simulator:21000",
    }
    assert set(addresses) == listening
    command = services["simulator"]["command"]
    assert {command[command.index("--rest-port") + 1], command[command.index("--ws-port") + 1]} == {"9443", "21000"}


def test_the_broker_knows_its_settings(services, kafka):
    """A real broker has each setting of the Kafka service; it would ignore a misspelt one."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    broker = ConfigResource(ConfigResource.Type.BROKER, str(next(iter(admin.list_topics(timeout=20).brokers))))
    known = admin.describe_configs([broker])[broker].result(20)
    settings = {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in services["kafka"]["environment"]}
    assert settings - set(known) == set()


def test_the_registry_keeps_its_schemas_in_kafka(services, kafka):
    """With the service's settings a schema keeps its id over a restart of the registry."""
    settings = services["registry"]["environment"] | {"APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    registry = started("a schema registry", Registry.launch)
    try:
        registry.server.kill()
        registry.server.command = [
            "env",
            *(f"{name}={value}" for name, value in settings.items()),
            *registry.server.command,
        ]
        registry.start()
        subject = f"{registry.url}/subjects/{uuid.uuid4().hex}-value/versions"
        request = urllib.request.Request(
            subject, json.dumps({"schema": bond_tick()}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as said:
            number = json.load(said)["id"]
        registry.server.stop()
        registry.start()
        with urllib.request.urlopen(f"{registry.url}/schemas/ids/{number}", timeout=30) as said:
            assert json.loads(json.load(said)["schema"])["name"] == "BondTick"
    finally:
        registry.close()


def test_our_services_start_as_composed(
    *, docker, image, compose, services, kafka, registry_url, topic_names, tmp_path
):
    """Compose starts our services in order, ticks arrive, commands work, the stop is clean."""
    port, audit, rest, feed = free_ports(4)
    moved = {
        "kafka:9092": kafka.bootstrap_servers,
        "http://registry:8080/apis/ccompat/v7": registry_url,
        "simulator:9443": f"127.0.0.1:{rest}",
        "simulator:21000": f"127.0.0.1:{feed}",
        '"9443"': f'"{rest}"',
        '"21000"': f'"{feed}"',
        "0.0.0.0": "127.0.0.1",
    }
    names = {f"KIS_BOND_TOPICS__{part.upper()}": getattr(topic_names, part) for part in topic_names.__slots__}
    file = tmp_path / "compose.yaml"
    file.write_text(
        _local(services, moved, names | {"KIS_BOND_HTTP__PORT": str(port), "KIS_BOND_AUDIT__HTTP_PORT": str(audit)})
    )
    composed = [*compose, "--file", str(file), "--project-name", PROJECT]
    try:
        run([*composed, "up", "--detach"], env=docker.environment)
        records = wait_for("ticks", lambda: _records(kafka, topic_names))
        assert {record.value[0] for record in records} == {0}
        assert decode(records[0].value, TickSchema(bond_tick()))["STND_ISCD"] in {"KR103502GD31", "KR103502GA34"}
        wait_for("readiness", lambda: answer(port, "/readyz") == 200)
        wait_for("the auditor's readiness", lambda: answer(audit, "/readyz") == 200)
        inside = [*composed, "exec", "-T", "connector", "kis-bond"]
        assert "is ACTIVE" in run([*inside, "subs", "add", "KR103501GD32", "--wait", "30"], env=docker.environment)
        assert len(run([*inside, "tail", "-n", "3", "--json"], env=docker.environment).splitlines()) == 3
        container = run([*composed, "ps", "--quiet", "connector"], env=docker.environment).strip()
        run([*composed, "stop"], env=docker.environment)
        state = json.loads(docker.docker("inspect", container))[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    finally:
        run([*composed, "down", "--volumes", "--timeout", "40"], env=docker.environment)


def _local(services, moved, environment):
    """Return a file with our services alone, on the host's network, otherwise unchanged."""
    kept = {name: dict(services[name]) for name in LOCAL}
    for service in kept.values():
        for gone in ("build", "ports", "networks"):
            service.pop(gone, None)
        service["network_mode"] = "host"
        service["depends_on"] = {
            name: condition for name, condition in service.get("depends_on", {}).items() if name in LOCAL
        }
        service["environment"] = service.get("environment", {}) | environment
    text = json.dumps({"services": kept, "volumes": {"journal": {}}})
    for before, after in moved.items():
        assert before in text
        text = text.replace(before, after)
    return text


def _records(kafka, topic_names):
    # Compose returned from `up`, so the topics are there.
    return read_all(kafka.bootstrap_servers, topic_names.ticks)
