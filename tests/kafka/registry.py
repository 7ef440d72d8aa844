"""A real schema registry for the tests: Apicurio, in memory, with a Confluent-compatible API."""

import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.kafka import jars
from tests.kafka.process import Server, free_ports, wait_for_port

START_SECONDS = 180


@dataclass
class Registry:
    """A registry process with its base URL; a stop makes it forget everything."""

    url: str
    server: Server
    folder: Path

    @classmethod
    def launch(cls, *options: str) -> Self:
        """Return a running, empty registry. Raises `jars.Unavailable` without Java or Maven.

        `options` are further options of its JVM.
        """
        java = jars.java()
        [archive] = jars.fetch("registry").glob("*.tar.gz")
        folder = Path(tempfile.mkdtemp(prefix="kis-bond-registry-"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        [port] = free_ports(1)
        address = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
        [program] = folder.glob("**/apicurio-registry-app-*-runner.jar")
        command = [java, "-Xmx384m", *jars.BRIEF, *address, *options, "-jar", str(program)]
        registry = cls(
            f"http://127.0.0.1:{port}/apis/ccompat/v7", Server(command, folder / "registry.log", cwd=folder), folder
        )
        registry.start()
        return registry

    def start(self) -> None:
        """Start the process, and return once it answers requests."""
        self.server.start()
        deadline = time.monotonic() + START_SECONDS
        wait_for_port(int(self.url.split(":")[2].split("/")[0]), self.server, deadline)
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/subjects", timeout=30):
                    return
            except urllib.error.HTTPError as refusal:
                if refusal.code == 401:  # it asks for a login, so it runs
                    return
                time.sleep(0.1)
            except (urllib.error.URLError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        """End the process, and delete its files."""
        self.server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
