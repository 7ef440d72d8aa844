"""Writes docs/metrics.md from the metrics' definitions."""

from collections.abc import Iterator
from pathlib import Path

from connector.app.audit.metrics import AUDIT_CATALOGUE
from connector.app.metrics import CATALOGUE, Definition

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
HEAD = """# Metrics

Made from the code by `make metrics-page`; a test fails where the two differ.

`GET /metrics` returns them in Prometheus's text format, beside those of the process and of Python
(`process_…`, `python_…`). Units are seconds and bytes. Labels are bounded: `slot` by the app keys,
`file` by the files that the settings name, all others by the values given here, which are 0 from the
start.

The metrics of the last table are those of `kis-bond audit`, on its own port.

Two sums hold, over the life of the journal and over one run:

```
kis_bond_frames_received_total = kis_bond_frames_finished_total + kis_bond_frames_pending
                                 + sum(kis_bond_frames_lost_total)
kis_bond_ticks_decoded_total   = kis_bond_ticks_acknowledged_total + kis_bond_ticks_in_flight
                                 + sum(kis_bond_dead_letters_total{reason=~"FIELD_.*|KAFKA_REFUSED"})
```

Alerts on them: [runbook.md](runbook.md). A Grafana dashboard:
`helm/kis-bond-connector/dashboards/kis-bond-connector.json`.
"""


def page() -> str:
    """Return the text of docs/metrics.md."""
    return "\n".join(
        [
            HEAD,
            *(
                line
                for title, definitions in (CATALOGUE | AUDIT_CATALOGUE).items()
                for line in _section(title, definitions)
            ),
        ]
    )


def _section(title: str, definitions: tuple[Definition, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| metric | type | labels | meaning |\n|---|---|---|---|"
    for each in definitions:
        name = f"{each.name}_total" if each.kind == "counter" else each.name
        yield f"| `{name}` | {each.kind} | {_labels(each)} | {each.text} |"
    yield ""


def _labels(definition: Definition) -> str:
    """Return the labels; the known values belong to the last one."""
    *others, last = definition.labels or ("",)
    known = f": {', '.join(definition.known)}" if definition.known else ""
    return ", ".join([*(f"`{name}`" for name in others), f"`{last}`{known}" if last else ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
