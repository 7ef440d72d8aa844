"""What trying one peer came to, and how a command ends after several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.errors import CredentialsRefused, JournalUnusable, NotInTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.errors import ConnectorError


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one try; `failure` is the kind of ending it stands for, None where all is well."""

    part: str
    message: str
    failure: type[ConnectorError] | None = None


def ending(findings: Sequence[Finding]) -> ConnectorError | None:
    """Return what the command ends with: 3 only where KIS refused every app key, 4 for the journal, else 5."""
    failed = {finding.failure for finding in findings}
    approvals = [finding.failure for finding in findings if finding.part.startswith("app key")]
    if approvals and all(failure is CredentialsRefused for failure in approvals):
        return CredentialsRefused("KIS refused every app key.")
    if JournalUnusable in failed:
        return JournalUnusable("The journal cannot be used.")
    parts = [finding.part for finding in findings if finding.failure]
    return NotInTime(f"Not in order: {', '.join(parts)}.") if parts else None
