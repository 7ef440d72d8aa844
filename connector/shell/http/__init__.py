"""The HTTP endpoints and the page."""

from connector.shell.http.server import HttpServer, Observed

__all__ = ["HttpServer", "Observed"]
