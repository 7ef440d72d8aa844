"""What a running auditor shows of itself."""

import json
import re
from types import SimpleNamespace

from connector.app.audit.metrics import AUDIT_CATALOGUE
from connector.app.audit.report import AuditParts, AuditReport, lag, lag_seconds
from connector.app.audit.rest_round import RestRound
from connector.app.audit.todays_coverage import TodaysCoverage
from connector.app.metrics import Metrics
from connector.app.stop import Stop
from connector.packaged_files import page_file
from connector.settings import load
from tests.app.audit.fakes import ISIN, World


def parts_of(world, rest=None):
    """Return the parts of an auditor whose Kafka side is the world's."""
    group = SimpleNamespace(partitions={0}, problem=None)
    facts = SimpleNamespace(problem=None)
    rounds = RestRound(world.auditor, lambda: 1, rest, None)
    return AuditParts(load(None, {}), Stop(), world.auditor, TodaysCoverage(world.auditor), group, facts, rest, rounds)


async def test_status_has_today_and_its_sums():
    """The status has each bond's record of today, and their sums."""
    world = World()
    raws = world.trades(10)
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records([*raws[:3], *raws[4:]]))
    await world.auditor.flush()
    status = await AuditReport(parts_of(world), None).status()
    assert json.loads(json.dumps(status)) == status
    day = status["days"][ISIN]
    assert day == {**world.latest(), "holes_left_off": 0}
    assert status["coverage"]["missing_volume"] == day["missing_volume"] > 0
    assert status["coverage"]["states"] == {"HOLES": 1}
    assert status["coverage"]["open_holes"] == {"unknown": 1}
    assert [event["event"] for event in status["events"]] == ["gap"]


async def test_the_page_finds_every_name_of_coverage():
    """The page's section on coverage finds each name that it reads in the auditor's status."""
    status = await AuditReport(parts_of(World()), None).status()
    script = page_file("coverage.js")
    (destructured,) = re.findall(r"const \{ ([\w, ]+) \} = status;", script)
    assert set(destructured.split(", ")) == {"coverage", "days"} <= status.keys()
    assert set(re.findall(r"\bcoverage\.(\w+)", script)) - {"js", "written_at"} <= status["coverage"].keys()


def test_readiness_names_what_is_wrong():
    """Each part's problem is a reason; without app keys for REST the audit is degraded only."""
    parts = parts_of(World())
    report = AuditReport(parts, None)
    assert report.readiness() == (
        [],
        ["KIS is not asked: without audit.credentials_dir the audit rests on ticks alone"],
    )
    parts.group.problem, parts.facts.problem = "no topic", "no events"
    parts.stop.ask("SIGTERM")
    assert report.readiness()[0] == ["stopping: SIGTERM", "no topic", "no events"]
    asked = parts_of(World(), SimpleNamespace(problem="REST_TIMEOUT: KIS did not answer", calls={}))
    assert AuditReport(asked, None).readiness() == ([], ["REST_TIMEOUT: KIS did not answer"])
    assert report.is_alive()


async def test_lag_counts_what_is_not_audited():
    """The lag is in records, and in the age of the latest audited one."""
    world = World()
    parts = parts_of(world)
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(3)))
    world.auditor.note_ends({0: 3})
    assert (lag(parts), lag_seconds(parts)) == (0, 0.0)
    world.auditor.note_ends({0: 5})
    world.auditor.partitions[0].latest_ms -= 90_000
    assert lag(parts) == 2
    assert 89 < lag_seconds(parts) < 100


async def test_a_record_without_a_timestamp_has_no_age():
    """The age is that of the latest record with one, also if the first records end without."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    *_, stamped, last = records = world.records(world.trades(3))
    stamped.timestamp -= 90_000
    last.timestamp = -1
    await world.auditor.take(0, records)
    world.auditor.note_ends({0: 5})
    assert 89 < lag_seconds(parts_of(world)) < 100
    (unstamped,) = world.records(world.trades(1))
    unstamped.timestamp = -1
    await world.auditor.take(0, [unstamped])
    assert 89 < lag_seconds(parts_of(world)) < 100


async def test_every_metric_is_shown():
    """Each metric of the auditor's catalogue has a value from the start."""
    parts = parts_of(World(), SimpleNamespace(problem=None, calls={"ok": 2}))
    text = (await AuditReport(parts, Metrics(parts, AUDIT_CATALOGUE)).metrics()).decode()
    for definition in AUDIT_CATALOGUE["Auditor"]:
        assert f"\n{definition.name}" in text
    assert 'kis_bond_coverage_open_holes{cause="unknown"} 0.0' in text
    assert 'kis_bond_audit_rest_calls_total{outcome="ok"} 2.0' in text
