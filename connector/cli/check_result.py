"""The result of trying one peer, and the failure a command ends with after several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.errors import CredentialsRefused, JournalUnusable, NotInTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.errors import ConnectorError


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one try; `failure` decides the exit code, None if all is well."""

    part: str
    message: str
    failure: type[ConnectorError] | None = None


def failure_of(results: Sequence[CheckResult]) -> ConnectorError | None:
    """Return the error to end with: 3 if KIS refused every app key, 4 for the journal, else 5."""
    failed = {result.failure for result in results}
    approvals = [result.failure for result in results if result.part.startswith("app key")]
    if approvals and all(failure is CredentialsRefused for failure in approvals):
        return CredentialsRefused("KIS refused every app key.")
    if JournalUnusable in failed:
        return JournalUnusable("The journal cannot be used.")
    parts = [result.part for result in results if result.failure]
    return NotInTime(f"Not in order: {', '.join(parts)}.") if parts else None
