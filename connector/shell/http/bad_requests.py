"""Logs what a client sent that is no proper request: one short line, and no traceback."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

# What the client alone can cause: bytes that are no HTTP, a broken body, a lost connection.
CLIENTS_FAULTS: Final = (HttpProcessingError, ClientError, web.RequestPayloadError, ConnectionError, TimeoutError)

log = structlog.get_logger("connector.http")


class RequestLog:
    """Takes the place of aiohttp's logger, which writes a traceback for each malformed request.

    A line names the client and the kind of fault, and nothing that the client sent. So repeats of a
    line are recognised and counted. An error of our own keeps its traceback.
    """

    def debug(self, _message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log a fault; what aiohttp tells without one is every client's right."""
        if exc_info is not None:
            self.exception(_message, *arguments, exc_info=exc_info)

    def warning(self, message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log an error of aiohttp's own."""
        log.warning("http_trouble", message=message % arguments, exc_info=exc_info)

    def exception(self, _message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log a fault of the client, or an error of our own."""
        client = str(arguments[0]) if arguments else None
        if isinstance(exc_info, CLIENTS_FAULTS):
            log.info("http_request_bad", client=client, fault=type(exc_info).__name__)
        else:
            log.error("http_request_failed", client=client, exc_info=exc_info)
