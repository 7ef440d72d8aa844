"""The image, built and run on a real engine."""

import json
import os
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import warnings

import pytest

from connector import __version__
from connector.core.ticks.avro import TickSchema, decode
from connector.packaged_files import bond_tick
from tests.bond_rows import sample
from tests.image.conftest import CANARY, REVISION, figures
from tests.kafka.process import free_ports
from tests.kafka.reader import read_all

USER = "65532"
HARDENED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "network": "host",
}
INSIDE = """
import json, os, pathlib, shutil, sys, zoneinfo
from datetime import datetime

def writable(folder):
    try:
        pathlib.Path(folder, "probe").touch()
    except OSError:
        return False
    return True

print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "tools": [name for name in ("cc", "gcc", "g++", "clang", "make", "ld") if shutil.which(name)],
    "pip": [str(path) for path in pathlib.Path(sys.prefix).rglob("pip*") if path.name.split("-")[0] == "pip"],
    "left": [path for path in ("/src", "/build", "/wheel", "/root/.cache", "/.cache") if os.path.lexists(path)],
    "seoul": datetime(2026, 1, 2, tzinfo=zoneinfo.ZoneInfo("Asia/Seoul")).isoformat(),
    "writable": [folder for folder in ("/", "/data", "/tmp", sys.prefix, "/etc", "/var/tmp") if writable(folder)],
}))
"""


@pytest.fixture(scope="module")
def inspected(docker, image):
    """Return the engine's description of the image."""
    return json.loads(docker.docker("image", "inspect", image))[0]


@pytest.fixture(scope="module")
def inside(docker, image):
    """Return what a process sees in a hardened container of the image."""
    hardened = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
    return json.loads(docker.docker("run", "--rm", *hardened, "--entrypoint", "python3", image, "-c", INSIDE))


@pytest.fixture
def start(docker, image):
    """Return what starts a hardened container on the host's network; the end removes them all."""
    # Ryuk would remove ours after a crash, but is one more image to pull; a context removes them.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own imports
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - the variable above is read at import
    begun = []

    def run(*command, volumes=(), **environment):
        container = DockerContainer(
            image, {"environment": {"DOCKER_HOST": docker.host}}, list(command) or None, environment, volumes=volumes
        )
        begun.append(container.with_kwargs(**HARDENED).with_tmpfs_mount("/tmp"))
        return container.start().get_wrapped_container()

    yield run
    for container in begun:
        container.stop()


def wait_for(what, condition, seconds=60):
    """Return the result of `condition` once it is true; `what` names what did not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come in {seconds} s"
        time.sleep(0.05)
    return found


def answer(port, path):
    """Return the status of one endpoint, 0 while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as said:
            return said.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def is_running(container):
    """Return whether the container runs; one that ended fails the test with its output."""
    container.reload()
    assert container.status == "running", container.logs().decode()[-3000:]
    return True


def health(container):
    """Return the engine's verdict on the container's health."""
    container.reload()
    return container.attrs["State"]["Health"]["Status"]


def ended(container):
    """Return the container's exit code and output once it has ended."""
    code = container.wait(timeout=60)["StatusCode"]
    return code, container.logs().decode()


def test_the_process_is_a_numbered_user_without_rights(inspected, inside):
    """The image's user is a number other than root's, as runAsNonRoot needs, and is in use."""
    assert inspected["Config"]["User"] == f"{USER}:{USER}"
    assert inside["ids"] == [int(USER), int(USER)]


def test_only_the_volume_and_tmp_can_be_written(inspected, inside):
    """With a read-only root only the journal's volume and /tmp can be written."""
    assert list(inspected["Config"]["Volumes"]) == ["/data"]
    assert inside["writable"] == ["/data", "/tmp"]


def test_nothing_of_the_build_is_left(inside):
    """The image has no compiler, no extra pip, no sources and no cache."""
    assert (inside["tools"], inside["pip"], inside["left"]) == ([], [], [])


def test_seoul_is_known(inside):
    """The image has the time zone database."""
    assert inside["seoul"] == "2026-01-02T00:00:00+09:00"


def test_labels_say_what_it_is(inspected):
    """The OCI labels hold this checkout's version and the given revision."""
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "kis-bond-connector"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.description"]


def test_signals_go_straight_to_the_process(inspected):
    """The entry point is the program itself, without a shell, so that SIGTERM reaches it."""
    assert (inspected["Config"]["Entrypoint"], inspected["Config"]["Cmd"]) == (["kis-bond"], ["run"])


def test_no_layer_holds_a_secret(docker, image):
    """No layer holds pip's secret configuration, and no setting holds a credential."""
    assert CANARY not in docker.docker("history", "--no-trunc", image)
    inspected = json.loads(docker.docker("image", "inspect", image))[0]
    assert sorted(each.split("=")[0] for each in inspected["Config"]["Env"] if "KIS_BOND" in each) == [
        "KIS_BOND_HTTP__HOST",
        "KIS_BOND_JOURNAL__PATH",
    ]
    created = docker.docker("create", image).strip()
    try:
        found = _files_with(CANARY.encode(), [docker.client, "export", created], docker.environment)
    finally:
        docker.docker("rm", "--volumes", created)
    assert found == []


def _files_with(text, export, environment):
    with (
        subprocess.Popen(export, stdout=subprocess.PIPE, env=environment) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as files,
    ):
        found = [each.name for each in files if each.isfile() and text in files.extractfile(each).read()]
    assert process.returncode == 0
    return found


def test_a_wrong_setting_ends_the_container_with_its_code(start):
    """An unknown setting ends the container with 2 and a sentence that names it."""
    code, said = ended(start(KIS_BOND_KAFKA__BOOTSTRAP_SERVER="x"))
    assert code == 2
    assert "kafka.bootstrap_server (KIS_BOND_KAFKA__BOOTSTRAP_SERVER): is not a setting" in said


def test_the_bond_master_is_kept_on_the_volume(start, tmp_path):
    """`bonds update` writes nowhere but the volume."""
    (tmp_path / "bond_code.mst").write_bytes(sample())
    tmp_path.chmod(0o755)
    code, said = ended(
        start("bonds", "update", "--from", "/given/bond_code.mst", "--json", volumes=[(str(tmp_path), "/given", "ro")])
    )
    assert code == 0, said
    assert "/data/.cache/kis-bond/bond_code.mst" in said


def test_the_health_check_sees_a_process_that_hangs(start):
    """A frozen connector becomes unhealthy, because the check needs an answer."""
    [port] = free_ports(1)
    container = start(
        KIS_BOND_HTTP__PORT=str(port),
        KIS_BOND_KIS__APPKEY="k" * 36,
        KIS_BOND_KIS__APPSECRET="s",
        KIS_BOND_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    wait_for("the endpoints", lambda: is_running(container) and answer(port, "/livez") == 200)
    check = container.attrs["Config"]["Healthcheck"]["Test"][1:]
    assert container.exec_run(check).exit_code == 0
    container.kill("SIGSTOP")
    try:
        assert container.exec_run(check).exit_code != 0
    finally:
        container.kill("SIGCONT")


def test_ticks_arrive_from_a_hardened_container(start, kafka, topic_names, tmp_path):
    """A read-only image creates topics, takes a list, delivers ticks and ends with 0."""
    port, rest, feed = free_ports(3)
    names = {f"KIS_BOND_TOPICS__{part.upper()}": getattr(topic_names, part) for part in topic_names.__slots__}
    to_kafka = names | {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    credentials.chmod(0o755)
    (credentials / "appkey-0").write_text("simulated-appkey-0\n")
    (credentials / "appsecret-0").write_text("simulated-appsecret-0\n")

    simulator = start("simulate", "--rest-port", str(rest), "--ws-port", str(feed), "--rate", "50", "--json")
    urls = json.loads(wait_for("the simulator's addresses", lambda: simulator.logs().decode().strip()))
    assert ended(start("topics", "init", **to_kafka))[0] == 0
    assert ended(start("subs", "add", "KR103502GD31", "KR103502GA34", **to_kafka))[0] == 0

    began = time.monotonic()
    connector = start(
        volumes=[(str(credentials), "/etc/kis-bond/credentials", "ro")],
        **to_kafka,
        KIS_BOND_KIS__CREDENTIALS_DIR="/etc/kis-bond/credentials",
        KIS_BOND_KIS__APPROVAL_URL=urls["approval_url"],
        KIS_BOND_KIS__WEBSOCKET_URL=urls["websocket_url"],
        KIS_BOND_HTTP__PORT=str(port),
    )
    wait_for("readiness", lambda: is_running(connector) and answer(port, "/readyz") == 200)
    figures["ready after"] = (
        f"{time.monotonic() - began:.1f} s, from the container's start to an open session and /readyz"
    )
    ticks = wait_for("a hundred ticks", lambda: _ticks(kafka, topic_names, 100))
    assert {tick["STND_ISCD"] for tick in ticks} == {"KR103502GD31", "KR103502GA34"}
    wait_for("health", lambda: health(connector) == "healthy")

    began = time.monotonic()
    connector.stop(timeout=40)
    code, said = ended(connector)
    figures["stopped after"] = f"{time.monotonic() - began:.1f} s"
    assert code == 0, said[-3000:]
    assert '"reason": "SIGTERM"' in said
    simulator.stop(timeout=20)
    assert ended(simulator)[0] == 0


def _ticks(kafka, topic_names, least):
    records = read_all(kafka.bootstrap_servers, topic_names.ticks)
    schema = TickSchema(bond_tick())
    return [decode(record.value, schema) for record in records] if len(records) >= least else []
