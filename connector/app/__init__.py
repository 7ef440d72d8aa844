"""The running connector: the one place that knows every part."""

from connector.app.connector import Connector, opened, run

__all__ = ["Connector", "opened", "run"]
