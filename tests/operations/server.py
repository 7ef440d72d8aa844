"""A Prometheus that scrapes a connector and an auditor every second."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.kafka.jars import Unavailable
from tests.kafka.process import Server, free_ports

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache/prometheus/usr/bin"  # where `make operations-test` puts Debian's package
RULES = ROOT / "helm/kis-bond-connector/rules/kis-bond-connector.yaml"
JOB = "kis-bond"


def binary(name: str) -> str:
    """Return the path of an installed or unpacked program. Raises Unavailable."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{UNPACKED}")
    if found is None:
        raise Unavailable(
            f"{name} is neither installed nor unpacked; `make operations-test` fetches Debian's package prometheus"
        )
    return found


class PrometheusServer:
    """Prometheus with the connector's alerts; `ask` uses its HTTP API."""

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir()
        (self._port,) = free_ports(1)
        self._configuration = folder / "prometheus.yml"
        command = [
            program,
            f"--config.file={self._configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._server = Server(command, folder / "prometheus.log")

    def start(self, *targets: str) -> None:
        """Scrape the targets, each a `host:port`, and evaluate the alerts."""
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
        }
        self._configuration.write_text(yaml.safe_dump(configuration))
        self._server.start()

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()

    async def ask(self, path: str, **parameters: str) -> Any:
        """Return an answer's data, None while nothing listens; an error fails the test."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}"
        try:
            async with aiohttp.ClientSession() as client, client.get(url, params=parameters) as answer:
                found = json.loads(await answer.text())
        except (aiohttp.ClientError, ValueError):
            assert self._server.is_running, self._server.last_output()
            return None
        assert found["status"] == "success", f"{parameters}: {found['error']}"
        return found["data"]

    async def values(self, expression: str) -> list[float]:
        """Return the present values of an expression."""
        data = await self.ask("query", query=expression)
        return [float(each["value"][1]) for each in data["result"]] if data else []
