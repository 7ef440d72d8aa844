"""The auditor as a whole: the one place that knows every part of `kis-bond audit`."""

from connector.app.audit.build import opened, run
from connector.app.audit.running import RunningAuditor

__all__ = ["RunningAuditor", "opened", "run"]
