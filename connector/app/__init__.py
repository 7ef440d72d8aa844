"""The running connector: the one place that knows every part."""

from connector.app.build import opened, run
from connector.app.connector import Connector

__all__ = ["Connector", "opened", "run"]
