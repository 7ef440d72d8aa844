"""The chart as the tests see it: values go in, objects or a refusal come out."""

import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "kis-bond-connector"
CI = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
# The oldest version Chart.yaml allows, and the newest one with published schemas.
KUBERNETES_VERSIONS = ("1.29", "1.37")
RELEASE, NAMESPACE = "bond", "markets"
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
SECONDS = 60

Object = dict[str, Any]


class Refused(Exception):
    """Helm refused the values; the text is Helm's."""


class _NoKeyTwice(yaml.SafeLoader):
    """Safe YAML that refuses a key that occurs twice in a mapping, as the API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value)
        twice = [key for key, count in keys.items() if count > 1]
        assert not twice, f"line {node.start_mark.line + 1}: {twice} stand twice"
        return super().construct_mapping(node, deep)


class Chart:
    """Renders and checks the chart in a folder with Helm, and remembers what was rendered."""

    def __init__(self, helm: Path, folder: Path = CHART) -> None:
        self.helm = helm
        self._folder = folder
        self._remembered = cache(self._template)

    def render(
        self,
        file: str | None,
        values: Object | None = None,
        kubernetes: str = KUBERNETES_VERSIONS[0],
        release: str = RELEASE,
    ) -> list[Object]:
        """Return the objects for a file of `ci/`, or none, with `values` over it."""
        text = self._remembered(file, json.dumps(values or {}), kubernetes, release)
        return [each for each in yaml.load_all(text, _NoKeyTwice) if each is not None]

    def upgrade(self, file: str, values: Object, kubeconfig: Path) -> list[Object]:
        """Return the objects for a release in a cluster, where the templates look up what runs."""
        over = kubeconfig.with_name("values.json")
        over.write_text(json.dumps(values))
        files = f"{CHART / 'ci' / f'{file}.yaml'},{over}"
        command = ["template", RELEASE, str(self._folder), "--namespace", NAMESPACE, "--values", files]
        text = self._run(*command, "--kube-version", KUBERNETES_VERSIONS[0], "--dry-run=server", kubeconfig=kubeconfig)
        return [each for each in yaml.load_all(text, _NoKeyTwice) if each is not None]

    def one(self, kind: str, file: str, values: Object | None = None, name: str | None = None) -> Object:
        """Return the only object of a kind, or the object of that kind and name."""
        (found,) = [
            each
            for each in self.render(file, values)
            if each["kind"] == kind and name in {None, each["metadata"]["name"]}
        ]
        return found

    def kinds(self, file: str, values: Object | None = None) -> set[str]:
        """Return the rendered kinds."""
        return {each["kind"] for each in self.render(file, values)}

    def lint(self, file: str | None) -> None:
        """Raise `Refused` unless `helm lint --strict` accepts the chart with a file of `ci/`."""
        values = ("--values", str(CHART / "ci" / f"{file}.yaml")) if file else ()
        self._run("lint", "--strict", str(self._folder), "--kube-version", KUBERNETES_VERSIONS[0], *values)

    def _template(self, file: str | None, values: str, kubernetes: str, release: str) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as over:
            over.write(values)
            over.flush()
            files = ",".join([str(CHART / "ci" / f"{file}.yaml"), over.name] if file else [over.name])
            return self._run(
                "template",
                release,
                str(self._folder),
                "--namespace",
                NAMESPACE,
                "--kube-version",
                kubernetes,
                "--values",
                files,
            )

    def _run(self, *arguments: str, kubeconfig: Path = Path(os.devnull)) -> str:
        # Neither a cluster of this machine's nor anybody's Helm repositories take part.
        own = {"KUBECONFIG": str(kubeconfig)} | {
            f"HELM_{part}_HOME": str(self.helm.parent / "helm-home") for part in ("CACHE", "CONFIG", "DATA")
        }
        result = subprocess.run(
            [self.helm, *arguments], capture_output=True, text=True, check=False, timeout=SECONDS, env=os.environ | own
        )
        if result.returncode:
            raise Refused(result.stdout + result.stderr)
        return result.stdout


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield name and spec of every pod that the objects create."""
    for each in objects:
        spec = each if each["kind"] == "Pod" else each.get("spec", {}).get("template")
        if spec and "containers" in spec.get("spec", {}):
            yield f"{each['kind']}/{each['metadata']['name']}", spec["spec"]


def settings_of(objects: list[Object]) -> str:
    """Return the settings file of the connector's ConfigMap."""
    (text,) = [
        each["data"]["kis-bond.yaml"]
        for each in objects
        if each["kind"] == "ConfigMap" and "kis-bond.yaml" in each["data"] and not each["metadata"].get("annotations")
    ]
    assert isinstance(text, str)
    return text
