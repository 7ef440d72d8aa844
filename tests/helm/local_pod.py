"""A rendered pod without a cluster: volumes are folders, and the command is a process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helm.chart import ROOT, Object

SECONDS = 60
# The folders the chart mounts volumes in; settings and arguments name files below them.
MOUNTED = ("/etc/kis-bond", "/var/lib/kis-bond")


class LocalPod:
    """The pod of one workload, with its mounts filled from the rendered ConfigMaps and Secrets."""

    def __init__(self, objects: list[Object], kind: str, component: str, folder: Path) -> None:
        self.folder = folder
        self._sources = {
            (each["kind"], each["metadata"]["name"]): each.get("data") or each.get("stringData")
            for each in objects
            if each["kind"] in {"ConfigMap", "Secret"}
        }
        (spec,) = [
            found
            for each in objects
            if each["kind"] == kind
            for found in [each["spec"] if kind == "Pod" else each["spec"]["template"]["spec"]]
            if found["containers"][0]["name"] == component
        ]
        (self.container,) = spec["containers"]
        self._mount(spec)

    @property
    def arguments(self) -> list[str]:
        """Return the container's command line, for a process on this machine."""
        command, *rest = [*self.container["command"], *self.container["args"]]
        assert command == "kis-bond"
        return [sys.executable, "-m", "connector", *map(self._local, rest)]

    @property
    def environment(self) -> dict[str, str]:
        """Return the container's variables, without any setting of this machine."""
        own = {
            each["name"]: self._local(each.get("value", "bond-kis-bond-connector-0")) for each in self.container["env"]
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")} | own

    def run(self) -> "subprocess.CompletedProcess[str]":
        """Run the container's command to its end."""
        return subprocess.run(
            self.arguments, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )

    def _mount(self, spec: Object) -> None:
        """Make each mount's folder, with the files of its volume."""
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            place = Path(f"{self.folder}{mount['mountPath']}")
            place.mkdir(parents=True, exist_ok=True)
            volume = volumes.get(mount["name"], {})  # a claim is no volume of the pod's, and begins empty
            if "configMap" in volume:
                self._fill(place, self._sources["ConfigMap", volume["configMap"]["name"]])
            if "secret" in volume:
                self._fill(place, self._sources["Secret", volume["secret"]["secretName"]])

    def _fill(self, place: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (place / name).write_text(self._local(text))

    def _local(self, text: str) -> str:
        for path in MOUNTED:
            text = text.replace(path, f"{self.folder}{path}")
        return text
