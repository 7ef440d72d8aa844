"""Helm says what docs/install-kubernetes.md shows, and takes the logins of docs/security.md."""

import os
import re
import shlex
import subprocess
import textwrap

import pytest
import yaml

from tests.helm.chart import ROOT, settings_of
from tests.helm.test_settings import check

TEXT = (ROOT / "docs" / "install-kubernetes.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
# A command with its continued lines, and what it prints.
SHOWN = [
    found
    for _, block in BLOCKS
    for found in re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]
LOCAL = [(command, output) for command, output in SHOWN if command.startswith(("helm template", "helm lint"))]
VALUES = "# bonds.yaml\n"


@pytest.fixture(scope="module")
def place(chart, tmp_path_factory):
    """Give the reader's folder: the chart, the text's values file, and Helm on the PATH."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "helm").symlink_to(ROOT / "helm")
    (folder / "bin").mkdir()
    (folder / "bin" / "helm").symlink_to(chart.helm)
    (values,) = [block for language, block in BLOCKS if language == "yaml" and block.startswith(VALUES)]
    (folder / "bonds.yaml").write_text(values)
    return folder


def test_there_are_local_lines():
    """The text shows lint, a dry run, a typo and a contradiction."""
    assert len(LOCAL) == 4


@pytest.mark.parametrize(("command", "output"), LOCAL, ids=lambda text: text.splitlines()[0][-40:])
def test_helm_says_what_is_shown(place, command, output):
    """A command that needs no cluster prints what the text shows; `…` stands for left-out lines."""
    environment = os.environ | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    result = subprocess.run(
        command, shell=True, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    pattern = ".*".join(re.escape(part) for part in output.split("…\n"))
    assert re.fullmatch(pattern + r"\s*", result.stdout + result.stderr, re.DOTALL), result.stdout + result.stderr


def test_every_file_that_is_named_exists():
    """Every link and values file of the text exists in the checkout."""
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)#][^)]*)\)", TEXT)]
    assert all((ROOT / "docs" / link).exists() for link in links), links
    for command, _ in SHOWN:
        words = shlex.split(command.replace("\\\n", " "))
        assert all((ROOT / word).exists() for word in words if word.startswith("helm/")), command


LOGINS = [
    yaml.safe_load(textwrap.dedent(block))
    for block in re.findall(
        r"^ *```yaml\n(.*?)^ *```$", (ROOT / "docs" / "security.md").read_text(), re.DOTALL | re.MULTILINE
    )
]


def test_there_are_logins():
    """The text shows each login, how to mount a Secret, and a rule of the network."""
    assert len(LOGINS) == 8


@pytest.mark.parametrize("block", LOGINS, ids="-".join)
def test_a_login_is_taken(chart, block, tmp_path):
    """A block is part of the chart's values, or stands under `config` in them."""
    values = block if block.keys() & {"config", "networkPolicy"} else {"config": block}
    result = check(settings_of(chart.render("smallest", values)), tmp_path)
    assert result.returncode == 0, result.stderr
