"""An auditor beside a deployed connector, and what Kafka then says of the coverage."""

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager, suppress

from connector.app import audit
from connector.settings import load
from tests.deployment import ROOT
from tests.kafka.reader import read_all

ISINS = ["KR103502GA34", "KR103502GD31"]


def settings_of(deployment, **given):
    """Return the settings of an auditor beside the deployment; `given` are variables of others."""
    names = ("KAFKA__", "TOPICS__", "KIS__APPROVAL", "REGISTRY__")
    own = {
        name: value
        for name, value in deployment.environment.items()
        if name.removeprefix("KIS_BOND_").startswith(names)
    }
    own |= {
        "KIS_BOND_AUDIT__GAP_WAIT_SECONDS": "0.5",
        "KIS_BOND_AUDIT__HTTP_PORT": "0",
        "KIS_BOND_AUDIT__GROUP_ID": group_of(deployment),
    }
    return load(None, own | {f"KIS_BOND_{name}": str(value) for name, value in given.items()})


def group_of(deployment):
    """Return the id of the auditors' group, which no other test has."""
    return f"{deployment.names.ticks}-audit"


def strict_code(deployment):
    """Return the exit code of `kis-bond coverage --strict` for today."""
    environment = deployment.environment | {"KIS_BOND_AUDIT__GROUP_ID": group_of(deployment)}
    command = [sys.executable, "-m", "connector", "coverage", "--strict"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False).returncode


def with_rest(deployment):
    """Return the variables with which an auditor asks the deployment's exchange."""
    folder = deployment.folder / "rest-keys"
    folder.mkdir(exist_ok=True)
    (folder / "appkey-0").write_text("rest-key")
    (folder / "appsecret-0").write_text("rest-secret")
    return {
        "AUDIT__CREDENTIALS_DIR": folder,
        "AUDIT__REST_URL": deployment.kis.rest_url,
        "AUDIT__TOKEN_PATH": deployment.folder / "token.json",
        "AUDIT__REST_PER_SECOND": 18,
        "AUDIT__BACKFILL": "true",
    }


@asynccontextmanager
async def auditing(settings):
    """Run an auditor for which every day is a trading day."""
    async with audit.opened(settings, None, lambda _: True) as auditor:
        task = asyncio.create_task(auditor.run())
        try:
            yield auditor
        finally:
            auditor.stop()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 30)


def coverage_of(deployment):
    """Return the latest coverage record of each bond, by ISIN; the test is over before midnight."""
    records = read_all(deployment.bootstrap_servers, deployment.names.coverage)
    latest = {}
    for record in records:
        latest[record.key.decode()] = json.loads(record.value)
    return {key.partition("/")[0]: value for key, value in latest.items()}


def events_of(deployment, kind):
    """Return the events of one kind, in order."""
    records = read_all(deployment.bootstrap_servers, deployment.names.events)
    events = [json.loads(record.value) for record in records]
    return [event for event in events if event["event"] == kind]


def withheld(kis):
    """Return the intervals that the exchange made but did not send, by bond."""
    found = {}
    for frame in kis.sent:
        if frame.kind in ("withheld", "unheard"):
            for record in frame.records:
                columns = record.raw.split("^")
                high, volume = int(columns[16]), int(columns[7])
                found.setdefault(record.tr_key, []).append((high - volume, high))
    return found


def union(intervals):
    """Return touching intervals as one, in order."""
    joined = []
    for low, high in sorted(intervals):
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
