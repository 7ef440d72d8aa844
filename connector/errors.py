"""The errors that end a command, each with its exit code.

ConnectorError            1   a bug, if nothing more precise was raised
├── ConfigurationError    2   found before any connection
├── RequestMalformed      2   arguments, ISIN, file, unknown list
├── CredentialsRefused    3   KIS refused every app key for good
├── JournalUnusable       4   not writable, held by another instance, or of a newer version
└── NotInTime             5   a deadline passed, a peer failed or refused, or drift was found
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConnectorError(Exception):
    """Ends a command with a plain message on stderr and with `exit_code`."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(ConnectorError):
    """Settings or credentials are wrong.

    `problems` holds every mistake as "key: problem: fix". No problem shows the value of a secret.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RequestMalformed(ConnectorError):
    """The caller asked for something that cannot be understood; nothing was done."""

    exit_code: ClassVar[int] = 2


class CredentialsRefused(ConnectorError):
    """KIS refused for good every app key that this process tried."""

    exit_code: ClassVar[int] = 3


class JournalUnusable(ConnectorError):
    """The journal is not writable, held by another instance, or of a newer version."""

    exit_code: ClassVar[int] = 4


class NotInTime(ConnectorError):
    """A deadline passed, a peer was out of reach or refused us, or drift was found."""

    exit_code: ClassVar[int] = 5
