"""The HTTP endpoints and the page."""

from connector.shell.http.server import HttpServer, Observed, PortInUse, try_to_bind

__all__ = ["HttpServer", "Observed", "PortInUse", "try_to_bind"]
