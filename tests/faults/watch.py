"""Samples a running connector several times a second, and checks that its figures add up."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.deployment import Deployment
from tests.faults.ledger import Watched, broken_laws, is_data

EVERY_SECONDS = 0.15
METRICS_EVERY = 5  # one of this many samples also reads /metrics
MIB = 2**20


class Watch:
    """Samples of one connector; `market_on` and `healed` start what the figures measure."""

    def __init__(self, connector: Deployment) -> None:
        self._connector = connector
        self._acknowledged: dict[int, tuple[int, float]] = {}
        self._gaps: dict[int, float] = {}
        self._market_on = False
        self._healed_at: float | None = None
        self._caught_up_at: float | None = None
        self._slack = 50
        self._peak_rss = 0
        self._peak_journal = 0
        self._law_broken: list[str] = []
        self._samples = 0
        self._processes: set[str] = set()
        self._written = self._counted = 0
        self.max_pending = self.max_lost = self.dead_letters = 0

    def market(self, rate: float) -> None:
        """Measure gaps while ticks arrive; an open gap ends when they stop, even without lanes."""
        now = time.monotonic()
        for number, (_, since) in self._acknowledged.items() if self._market_on else ():
            self._gaps[number] = max(self._gaps.get(number, 0.0), now - since)
        self._market_on = rate > 0
        self._slack = max(50, int(rate / 2))
        self._acknowledged = {number: (count, now) for number, (count, _) in self._acknowledged.items()}

    def healed(self) -> None:
        """Start to measure, once, the time until under half a second's frames are pending."""
        self._healed_at = self._healed_at or time.monotonic()

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self._sizes()
            _, status = await self._connector.ask("/status")
            if status:
                self._samples += 1
                self._look(status)
                if self._samples % METRICS_EVERY == 0:
                    self._check_metrics(await self._connector.text("/metrics"))
            await asyncio.sleep(EVERY_SECONDS)

    def figures(self) -> Watched:
        """Return the measured figures."""
        catch_up = (self._caught_up_at or time.monotonic()) - self._healed_at if self._healed_at else 0.0
        return Watched(
            {number: round(gap, 2) for number, gap in sorted(self._gaps.items())},
            round(catch_up, 2),
            round(self._peak_rss / MIB, 1),
            round(self._peak_journal / MIB, 2),
            self._law_broken[:5],
            self._samples,
            len(self._processes),
        )

    def _look(self, status: dict[str, Any]) -> None:
        now = time.monotonic()
        frames = status["frames"]
        self._processes.add(status["started_at"])
        self._law_broken += broken_laws(status, self._written_by_now())
        self.max_pending = max(self.max_pending, frames["pending"])
        self.max_lost = max(self.max_lost, sum(frames["lost"].values()))
        self.dead_letters = sum(status["ticks"]["dead_letters"].values())
        if self._healed_at and self._caught_up_at is None and frames["pending"] <= self._slack:
            self._caught_up_at = now
        for lane in status["delivery"]["lanes"]:
            if lane["topic"] == self._connector.names.ticks:
                self._note(lane["partition"], lane["acknowledged"], now)

    def _written_by_now(self) -> int:
        """Return the number of data frames the exchange has written."""
        sent = self._connector.kis.sent
        self._written += sum(map(is_data, itertools.islice(sent, self._counted, None)))
        self._counted = len(sent)
        return self._written

    def _note(self, partition: int, count: int, now: float) -> None:
        before, since = self._acknowledged.get(partition, (-1, now))
        if self._market_on:
            self._gaps[partition] = max(self._gaps.get(partition, 0.0), now - since)
        if count != before or not self._market_on:
            self._acknowledged[partition] = (count, now)

    def _check_metrics(self, text: str) -> None:
        value: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("kis_bond_frames"):
                    value[sample.name] = value.get(sample.name, 0) + sample.value
        ended = value.get("kis_bond_frames_finished_total", 0) + value.get("kis_bond_frames_lost_total", 0)
        if value and value["kis_bond_frames_received_total"] != ended + value["kis_bond_frames_pending"]:
            self._law_broken.append(f"/metrics {value}")

    def _sizes(self) -> None:
        process = self._connector.process
        if process is not None and process.returncode is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            self._peak_rss = max(
                self._peak_rss,
                *(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")),
                0,
            )
        self._peak_journal = max(self._peak_journal, sum(_size(path) for path in self._connector.journal.glob("*")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
