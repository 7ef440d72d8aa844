"""One node of a real Kubernetes: etcd, API server, controllers, containerd and kubelet."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.image.engine import Engine
from tests.k8s import binaries
from tests.kafka.process import Server, free_ports

NODE = "node"
BRIDGE = "kisbond0"
HOST = "10.245.0.1"  # the node's address, which pods reach Kafka and the exchange at
PODS = "10.245.0.0/24"
SERVICES = "10.246.0.0/24"
PAUSE = "kis-bond.test/pause:1"
TOKEN = "of-a-test-cluster-on-the-loopback"
START_SECONDS = 180

CONTAINERD = """version = 2
root = "{root}"
state = "{run}/state"
[grpc]
  address = "{run}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{run}/cni"
"""


class Cluster:
    """A running cluster of one node; `kubectl` and `helm` are told where it is."""

    def __init__(self, folder: Path, helm: Path) -> None:
        self.folder, self.helm = folder, helm
        self.kubeconfig = folder / "kubeconfig"
        self.containerd = folder / "containerd.sock"
        self._bin = binaries.build()
        self._servers: list[Server] = []
        self._networks_before = _networks()
        etcd, peer, self._api, controllers, scheduler = free_ports(5)
        self._ports = {"etcd": etcd, "peer": peer, "controllers": controllers, "scheduler": scheduler}

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead Helm and kubectl to this cluster."""
        homes = {f"HELM_{part}_HOME": str(self.folder / "helm") for part in ("CACHE", "CONFIG", "DATA")}
        return os.environ | {"KUBECONFIG": str(self.kubeconfig)} | homes

    def start(self) -> None:
        """Start every part, and return once the node is ready."""
        self._write_files()
        self._start("etcd", [str(binaries.debian("etcd-server")), *self._etcd()])
        self._start("kube-apiserver", self._api_server())
        self.until("the API server", lambda: self._try(["get", "--raw", "/readyz"]) == "ok")
        self._start("kube-controller-manager", self._controllers())
        self._start("kube-scheduler", self._scheduler())
        self._start("containerd", [binaries.installed("containerd"), "--config", str(self.folder / "containerd.toml")])
        self.until("containerd", self.containerd.exists)
        self._start("kubelet", self._kubelet())
        self.until("the node", self._is_ready)

    def stop(self) -> None:
        """End every container and every part."""
        for server in reversed(self._servers):
            if server.command[0].endswith("kubelet"):
                server.stop()
        for task in self._ctr("tasks", "ls", "--quiet").split():
            self._ctr("tasks", "delete", "--force", task)
        for server in reversed(self._servers):
            server.stop()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((each for each in mounts if each.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        for network in _networks() - self._networks_before:
            subprocess.run([binaries.installed("ip"), "netns", "delete", network], check=False, capture_output=True)

    def load(self, engine: Engine, image: str) -> None:
        """Bring an image of the Docker engine to the node."""
        archive = self.folder / "image.tar"
        engine.docker("save", "--output", str(archive), image)
        self._ctr("images", "import", str(archive))
        archive.unlink()

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return its output. Raises AssertionError if it fails."""
        done = self.run([str(self._bin / "kubectl"), *arguments])
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """Return an object, or a list of objects, as JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        done = self.run([str(self._bin / "kubectl"), "apply", "--filename", "-"], input=text)
        assert done.returncode == 0, done.stderr

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program that knows the cluster."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, **options)

    def process_of(self, pod: str) -> int:
        """Return the process id of a pod's only container."""
        wanted = f'labels."io.kubernetes.pod.name"=={pod},labels."io.cri-containerd.kind"==container'
        ids = self._ctr("containers", "ls", "--quiet", wanted).split()
        running = [line.split() for line in self._ctr("tasks", "ls").splitlines()[1:]]
        (found,) = [int(pid) for task, pid, state in running if task in ids and state == "RUNNING"]
        return found

    def until(self, what: str, condition: Callable[[], Any], seconds: float = START_SECONDS) -> None:
        """Wait for a condition; if it is not met, the error has the ends of the logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {server.log.name}\n{server.last_output()[-1500:]}" for server in self._servers)
                raise AssertionError(f"{what}: not in {seconds} s\n{logs}")
            time.sleep(0.2)

    def _try(self, arguments: list[str]) -> str:
        return self.run([str(self._bin / "kubectl"), *arguments]).stdout.strip()

    def _is_ready(self) -> bool:
        path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        return self._try(["get", "nodes", "--output", f"jsonpath={path}"]) == "True"

    def _start(self, name: str, command: Sequence[str]) -> None:
        server = Server(list(command), self.folder / f"{name}.log")
        server.start()
        self._servers.append(server)

    def _ctr(self, *arguments: str) -> str:
        command = [binaries.installed("ctr"), "--address", str(self.containerd), "--namespace", "k8s.io", *arguments]
        return self.run(command).stdout

    # -- what the parts are told -------------------------------------------------------------------

    def _write_files(self) -> None:
        key = self.folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        server = {"server": f"https://127.0.0.1:{self._api}", "insecure-skip-tls-verify": True}
        context = {"cluster": "test", "user": "admin", "namespace": "default"}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": server}],
                    "users": [{"name": "admin", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "test", "context": context}],
                }
            )
        )
        root = self.folder / "containerd"
        cni = binaries.debian("containernetworking-plugins").parent
        text = CONTAINERD.format(root=root, run=self.folder, pause=PAUSE, cni=cni)
        (self.folder / "containerd.toml").write_text(text)
        (self.folder / "cni").mkdir()
        ipam = {"type": "host-local", "ranges": [[{"subnet": PODS, "rangeStart": "10.245.0.10"}]],
                "dataDir": str(self.folder / "addresses"), "routes": [{"dst": "0.0.0.0/0"}]}  # fmt: skip
        bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
        plugins = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
        (self.folder / "cni" / "10-pods.conflist").write_text(json.dumps(plugins))
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "address": HOST,
            "healthzPort": 0,
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.containerd}",
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "/dev/null",
        }
        (self.folder / "kubelet.json").write_text(json.dumps(kubelet))

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        return [
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _api_server(self) -> list[str]:
        return [
            str(self._bin / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--secure-port={self._api}",
            "--bind-address=127.0.0.1",
            f"--advertise-address={HOST}",
            f"--cert-dir={self.folder}/certificates",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/accounts.key",
            f"--service-account-signing-key-file={self.folder}/accounts.key",
        ]

    def _controllers(self) -> list[str]:
        return [
            str(self._bin / "kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self.folder}/accounts.key",
            f"--secure-port={self._ports['controllers']}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder}/certificates-of-controllers",
            "--leader-elect=false",
        ]

    def _scheduler(self) -> list[str]:
        return [
            str(self._bin / "kube-scheduler"),
            f"--kubeconfig={self.kubeconfig}",
            f"--secure-port={self._ports['scheduler']}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder}/certificates-of-scheduler",
            "--leader-elect=false",
        ]

    def _kubelet(self) -> list[str]:
        return [
            str(self._bin / "kubelet"),
            f"--config={self.folder}/kubelet.json",
            f"--kubeconfig={self.kubeconfig}",
            f"--hostname-override={NODE}",
            f"--node-ip={HOST}",
            f"--root-dir={self.folder}/kubelet",
            f"--cert-dir={self.folder}/certificates-of-kubelet",
        ]


def _networks() -> set[str]:
    """Return the names of this machine's network namespaces, of which each pod has one."""
    folder = Path("/run/netns")
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def pause_image(engine: Engine, base: str) -> None:
    """Make the image that keeps a pod's network, for a node that cannot pull one."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(f'FROM {base}\nENTRYPOINT ["sleep", "infinity"]\n')
        engine.docker("build", "--tag", PAUSE, folder)


@contextlib.contextmanager
def bridge() -> Iterator[None]:
    """Give the bridge between the node and its pods, for as long as the block lasts."""
    ip = binaries.installed("ip")
    subprocess.run([ip, "link", "del", BRIDGE], check=False, capture_output=True)
    for command in (["link", "add", BRIDGE, "type", "bridge"], ["addr", "add", f"{HOST}/24", "dev", BRIDGE],
                    ["link", "set", BRIDGE, "up"]):  # fmt: skip
        subprocess.run([ip, *command], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([ip, "link", "del", BRIDGE], check=False, capture_output=True)


@contextlib.contextmanager
def running(helm: Path) -> Iterator[Cluster]:
    """Give a cluster; the end stops it and removes its state."""
    folder = Path(tempfile.mkdtemp(prefix="kis-bond-k8s-"))
    cluster = Cluster(folder, helm)
    try:
        with bridge():
            cluster.start()
            yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
