"""Kubernetes' own programs, built from Go's module proxy, and what they need from Debian."""

import fcntl
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.kafka.jars import Unavailable

VERSION = "v1.33.5"
STAGING = VERSION.replace("v1.", "v0.")  # the version of the modules that Kubernetes is made of
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
DEBIAN = {"etcd-server": "usr/bin/etcd", "containernetworking-plugins": "usr/lib/cni/bridge"}
INSTALLED = {"containerd": "containerd", "runc": "runc"}  # package by program
CACHE = Path(__file__).parents[2] / ".cache" / "k8s"
BIN = CACHE / "bin"
BUILD_SECONDS = 7200


def build() -> Path:
    """Return the folder with Kubernetes' programs; the first build takes six minutes of two cores.

    Raises `Unavailable` with the reason.
    """
    BIN.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = CACHE / f"built-{VERSION}"
        if not done.exists():
            _build()
            done.touch()
    return BIN


def debian(package: str) -> Path:
    """Return a file of a Debian package, unpacked in `.cache`, so that no service starts."""
    path = CACHE / "debian" / DEBIAN[package]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = CACHE / "debian"
        _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], folder)
        (archive,) = folder.glob(f"{package}_*.deb")
        _run(["dpkg", "-x", archive.name, "."], folder)
    return path


def installed(program: str) -> str:
    """Return the path of a program that has to be installed. Raises `Unavailable`."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"no {program} on the PATH: install Debian's package {INSTALLED.get(program, program)}")
    return found


def _build() -> None:
    """Build all programs in a module of our own; `go install` refuses one that replaces others."""
    source = CACHE / "source"
    source.mkdir(exist_ok=True)
    said = json.loads(_run([_go(), "mod", "download", "-json", f"k8s.io/kubernetes@{VERSION}"], source))
    text = Path(said["GoMod"]).read_text()
    staged = sorted(set(re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", text, re.MULTILINE)))
    lines = ["module kis-bond/k8s", *re.findall(r"^go .*$", text, re.MULTILINE), f"require k8s.io/kubernetes {VERSION}"]
    lines += [f"replace {name} => {name} {STAGING}" for name in staged]
    (source / "go.mod").write_text("\n".join(lines) + "\n")
    (source / "go.sum").unlink(missing_ok=True)
    major, minor, _ = VERSION.removeprefix("v").split(".")
    named = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in named.items()
    )
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in PROGRAMS]
    command = [_go(), "build", "-mod=mod", "-trimpath", f"-ldflags=-s -w {flags}", "-o", f"{BIN}/", *packages]
    _run(["nice", "-n", "10", *command], source)


def _go() -> str:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("no go on the PATH")
    return go


def _run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{' '.join(command)}` took more than {BUILD_SECONDS} s") from None
    if done.returncode:
        raise Unavailable(f"`{' '.join(command)}` failed: {(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    build()
