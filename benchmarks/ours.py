"""The connector as in production, on the prepared feed."""

import asyncio
import gc
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pipeline import Meter, Run, measure
from connector import logs
from connector.app import Connector, opened
from connector.cli.run import COLLECT_AFTER
from connector.core.histogram import Latencies
from connector.settings import Settings, load

CAPACITY = 41  # KIS's registrations a session; more bonds than that on one session are allowed here
LOOK_SECONDS = 0.05  # how often the counts of registered bonds and of journalled frames are read


class Metered(Latencies):
    """Tells the meter of each acknowledged batch."""

    def __init__(self, bounds: Sequence[float], meter: Meter) -> None:
        super().__init__(bounds)
        self._meter = meter

    def observe(self, started_ns: Sequence[int], ended_ns: int) -> None:
        """Count, and tell."""
        super().observe(started_ns, ended_ns)
        self._meter.acknowledge(started_ns, ended_ns)


def settings_of(run: Run, folder: Path) -> Settings:
    """Return the production settings with the run's addresses and app keys."""
    keys = folder / "credentials"
    keys.mkdir()
    for slot in range(run.sessions):
        (keys / f"appkey-{slot}").write_text(f"{slot:036d}")
        (keys / f"appsecret-{slot}").write_text(f"{slot:0180d}")
    environment = {
        "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": run.bootstrap_servers,
        "KIS_BOND_KIS__APPROVAL_URL": run.approval_url,
        "KIS_BOND_KIS__WEBSOCKET_URL": run.websocket_url,
        "KIS_BOND_KIS__CREDENTIALS_DIR": str(keys),
        "KIS_BOND_KIS__REGISTER_INTERVAL_SECONDS": "0.01",
        "KIS_BOND_KIS__SESSION_CAPACITY": str(max(CAPACITY, -(-run.bonds // run.sessions))),
        "KIS_BOND_HTTP__PORT": "0",
        "KIS_BOND_JOURNAL__PATH": str(folder / "journal"),
        **{f"KIS_BOND_TOPICS__{name.upper()}": topic for name, topic in run.topics.items()},
    }
    return load(None, environment)


async def pipeline(run: Run, meter: Meter) -> None:
    """Deliver all ticks."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(run, Path(folder))
        handler = logs.configure(settings.log)
        try:
            # The group ends the program if the connector fails.
            async with opened(settings) as connector, asyncio.TaskGroup() as group:
                counts = connector.delivery.counts
                counts.latencies = Metered(counts.latencies.bounds, meter)
                group.create_task(connector.run())
                while await registered(connector) < run.bonds:
                    await asyncio.sleep(LOOK_SECONDS)
                await meter.wait_for_start()
                while run.outage and connector.journal.last_seq < -(-run.ticks // run.per_frame):
                    await asyncio.sleep(LOOK_SECONDS)
                if run.outage:
                    print("journalled", flush=True)
                await meter.done.wait()
                connector.stop()
        finally:
            handler.close()


async def registered(connector: Connector) -> int:
    """Return how many bonds KIS has registered."""
    slots = (await connector.report.status())["slots"]
    return sum(slot["registered"] for slot in slots.values())


def main() -> None:
    """Run once, with the garbage collector as `kis-bond run` has it."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    measure(pipeline)


if __name__ == "__main__":
    main()
