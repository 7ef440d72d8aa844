"""What can stop a command, named by the exit code it ends with.

ConnectorError            1   a bug, when nothing more precise was raised
├── ConfigurationError    2   before any connection
├── RequestMalformed      2   arguments, ISIN, file, unknown list
├── CredentialsRefused    3   KIS refused every app key for good
├── JournalUnusable       4   not writable, held by another instance, or written by a newer version
└── NotInTime             5   waited for in vain, out of reach, not permitted, or drift was found
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConnectorError(Exception):
    """Ends a command with a message in plain words on stderr and `exit_code`."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(ConnectorError):
    """Settings or credentials are wrong; `problems` holds every mistake, each as "key: problem: fix", never a secret's value."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RequestMalformed(ConnectorError):
    """The caller asked for something that cannot be understood; nothing was done."""

    exit_code: ClassVar[int] = 2


class CredentialsRefused(ConnectorError):
    """KIS refused every app key this process tried, for good."""

    exit_code: ClassVar[int] = 3


class JournalUnusable(ConnectorError):
    """The journal cannot be written, is held by another instance, or was written by a newer version."""

    exit_code: ClassVar[int] = 4


class NotInTime(ConnectorError):
    """Something waited for did not happen in time, a peer was out of reach or not permitted, or drift was found."""

    exit_code: ClassVar[int] = 5
