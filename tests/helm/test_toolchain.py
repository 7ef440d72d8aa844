"""What the chart's tests build and fetch."""

import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.helm.chart import ROOT
from tests.helm.toolchain import _closed

ONE_TEST = Path(__file__).with_name("test_objects.py")


@pytest.mark.parametrize(("required", "code", "outcome"), [("0", 0, "skipped"), ("1", 1, "error")])
def test_tests_without_go_are_left_out_loudly(required, code, outcome, tmp_path):
    """Without Helm and Go the tests are skipped with a reason, or fail if Helm is required."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment |= {"PATH": "", "KIS_BOND_REQUIRE_HELM": required}
    arguments = ["-p", "no:cacheprovider", f"{ONE_TEST}::test_lint_is_content", "-k", "smallest"]
    program = (
        "import pathlib, sys, pytest; from tests.helm import toolchain\n"
        f"toolchain.CACHE = pathlib.Path({str(tmp_path)!r})\n"
        f"sys.exit(pytest.main({arguments!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, outcome in result.stdout) == (code, True), result.stdout
    assert "LEFT OUT" in result.stdout
    assert "no go on the PATH" in result.stdout
    assert "KIS_BOND_REQUIRE_HELM=1" in result.stdout


def test_schemas_are_closed_at_any_depth():
    """A custom resource's schema refuses unlisted fields at any depth; free maps stay free."""
    leaf = {"type": "object", "properties": {"port": {"type": "string"}}}
    free = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = _closed({"type": "object", "properties": {"endpoints": {"type": "array", "items": leaf}, "labels": free}})
    jsonschema.validate({"endpoints": [{"port": "http"}], "labels": {"any": "thing"}}, schema)
    with pytest.raises(jsonschema.ValidationError, match="'prot' was unexpected"):
        jsonschema.validate({"endpoints": [{"prot": "http"}]}, schema)
