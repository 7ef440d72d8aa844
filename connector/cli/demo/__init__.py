"""`kis-bond demo`: the whole system on one machine, with nothing to prepare."""

from connector.cli.demo.command import EXAMPLES, demo

__all__ = ["EXAMPLES", "demo"]
