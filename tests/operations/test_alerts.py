"""The alerts fire when they should and only then, and the runbook explains each."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.operations.server import ROOT, RULES

UNIT_TESTS = [Path(__file__).with_name(name) for name in ("alerts.yaml", "alerts_over_a_day.yaml")]
RUNBOOK = ROOT / "docs/runbook.md"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
METRICS = set(re.findall(r"kis_bond_\w+", (ROOT / "docs/metrics.md").read_text()))


def run(promtool, *arguments):
    """Run promtool; its output is the message of a failure."""
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid(promtool):
    """Prometheus itself accepts the file."""
    run(promtool, "check", "rules", RULES)


def test_the_alerts_fire_when_they_should_and_not_else(promtool):
    """Each alert is played on series made for it, and on similar ones that must not fire."""
    run(promtool, "test", "rules", *UNIT_TESTS)


def test_a_rule_that_is_wrong_would_be_seen(promtool, tmp_path):
    """If no rule ever holds, the unit tests miss every alert."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = f"({rule['expr']}) and on() (vector(1) == 0)"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    files = []
    for file in UNIT_TESTS:
        files.append(tmp_path / file.name)
        files[-1].write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"rule_files": ["rules.yaml"]}))
    done = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, check=False)
    failed = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert failed == {rule["alert"] for rule in ALERTS}


def test_each_alert_is_played_both_ways():
    """Each alert has a moment at which it fires and one at which it does not."""
    tests = [test for file in UNIT_TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    played = [each for test in tests for each in test["alert_rule_test"]]
    for fires in (True, False):
        assert {each["alertname"] for each in played if bool(each.get("exp_alerts")) is fires} == {
            rule["alert"] for rule in ALERTS
        }


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_section_of_the_runbook(rule):
    """Its link leads to the section with meaning, what to look at and what to do."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL))
    section = sections[rule["alert"]]
    assert re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE) == ["What it means.", "What to look at.", "What to do."]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_runbook_has_a_section_for_nothing_else():
    """A section without an alert would never be reached."""
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE) != []
    assert set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_there_are(rule):
    """A misspelt metric would keep an alert quiet forever."""
    asked = set(re.findall(r"kis_bond_\w+", rule["expr"]))
    assert asked
    assert asked <= METRICS


def test_the_runbook_names_what_there_is():
    """The runbook's links, metrics and log events all exist."""
    text = RUNBOOK.read_text()
    anchors = {title.lower() for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= anchors
    assert set(re.findall(r"kis_bond_\w+", text)) <= METRICS
    for page in re.findall(r"\]\(([\w./-]+)(?:#\w+)?\)", text):
        assert (RUNBOOK.parent / page).exists()
