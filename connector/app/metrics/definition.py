"""What one metric is: its name, its text, and where its value is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from connector.core.histogram import Latencies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import Metric

Values = float | Latencies | Mapping[Any, float] | None


@dataclass(frozen=True)
class Definition:
    """One metric, and how its value is read.

    `read` returns a number or, for a metric with labels, numbers by label. With one label, the key
    is the label's value; with several, it is a tuple of their values. If `read` returns None, the
    metric is left out. `known` lists values of the last label that are shown as 0 from the start:
    Prometheus sees no increase in a series that first appears with its first event.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    text: str
    read: Callable[[Any], Values]
    labels: tuple[str, ...] = ()
    known: Sequence[str] = ()

    def family(self, parts: Any) -> Metric | None:
        """Return the metric with its present values."""
        found = self.read(parts)
        match found:
            case None:
                return None
            case Latencies():
                buckets = [(str(bound), float(count)) for bound, count in zip(found.bounds, found.counts, strict=True)]
                return HistogramMetricFamily(
                    self.name, self.text, [*buckets, ("+Inf", found.total)], sum_value=found.sum_seconds
                )
            case Mapping():
                values = dict(found) if len(self.labels) > 1 else dict.fromkeys(self.known, 0.0) | dict(found)
            case _:
                values = {(): found}
        family = (CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily)(
            self.name, self.text, labels=self.labels
        )
        for key, value in values.items():
            family.add_metric([str(part) for part in (key if isinstance(key, tuple) else (key,))], value)
        return family
