"""Helm and the Prometheus operator's schemas, both from Go's module proxy."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kafka.jars import Unavailable

HELM_VERSION = "v3.22.0"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
OPERATOR_KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
CACHE = Path(__file__).parents[2] / ".cache" / "bin"
BUILD_SECONDS = 900


def build_helm() -> Path:
    """Return Helm's path, building it the first time (80 s). Raises `Unavailable` without Go.

    A lock file lets test runs in the same checkout wait for one another's build.
    """
    helm = CACHE / f"helm-{HELM_VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not helm.exists():
            _go("install", f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}", GOBIN=str(CACHE))
            (CACHE / "helm").rename(helm)
    return helm


def operator_schemas() -> dict[str, dict[str, Any]]:
    """Return the closed OpenAPI schema of each operator kind that the chart renders."""
    module = Path(json.loads(_go("mod", "download", "-json", OPERATOR))["Dir"])
    schemas = {}
    for kind in OPERATOR_KINDS:
        path = module / "example" / "prometheus-operator-crd" / f"monitoring.coreos.com_{kind.lower()}s.yaml"
        (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
        schemas[kind] = _closed(version["schema"]["openAPIV3Schema"])
        schemas[kind]["properties"]["metadata"] = {"type": "object"}
    return schemas


def _closed(schema: Any) -> Any:
    """Close every object that lists its fields: the API server would drop others silently."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    if isinstance(closed.get("pattern"), str):
        closed["pattern"] = closed["pattern"].replace("^(?i)", "(?i)^")  # where Python wants Go's flag
    return closed


def _go(*arguments: str, **environment: str) -> str:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("no go on the PATH")
    command = [go, *arguments]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
            cwd=CACHE,
            env=os.environ | environment,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{' '.join(command)}` took more than {BUILD_SECONDS} s") from None
    if result.returncode:
        raise Unavailable(f"`{' '.join(command)}` failed: {(result.stdout + result.stderr).strip()[:400]}")
    return result.stdout
