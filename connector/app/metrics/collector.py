"""Gives Prometheus the numbers that the parts count; they are read at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from connector.app.metrics.delivery import DELIVERY, JOURNAL, TICKS
from connector.app.metrics.lists import CONTROL
from connector.app.metrics.process import PROCESS
from connector.app.metrics.sessions import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from connector.app.metrics.definition import Definition

CATALOGUE: Final = {
    "Frames and ticks": TICKS,
    "Delivery": DELIVERY,
    "Journal": JOURNAL,
    "Slots and sessions": SESSIONS,
    "Control topic": CONTROL,
    "Process": PROCESS,
}


class Metrics(Collector):
    """The metrics `kis_bond_*` of one process, as its catalogue defines them."""

    def __init__(self, parts: Any, catalogue: Mapping[str, Sequence[Definition]] = CATALOGUE) -> None:
        self._parts = parts
        self._catalogue = catalogue
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for of_process in (ProcessCollector, PlatformCollector, GCCollector):
            of_process(registry=self._registry)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its present values."""
        for definitions in self._catalogue.values():
            for definition in definitions:
                if (family := definition.family(self._parts)) is not None:
                    yield family
