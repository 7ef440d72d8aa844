"""The metrics `kis_bond_*`, defined by domain."""

from connector.app.metrics.collector import CATALOGUE, Metrics
from connector.app.metrics.definition import Definition

__all__ = ["CATALOGUE", "Definition", "Metrics"]
