"""Faults by name, switched on at the start or while the simulator runs."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

BODIES = ("html", "empty", "error", "huge", "drip", "cut")
ECHOES = ("reply", "close", "handshake", "approval")
REPLY_VALUE = re.compile(r"OPSP[0-9]{4}")

# These end sessions, and a frame on its way to the client ends with them.
CUTS = ("abrupt", "no-close-frame", "close", "close-at-once", "burst")


class FaultUnknownError(ValueError):
    """The simulator has no fault with this name or value. The message lists its faults."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: its default value, the pattern of its values, and what it does."""

    default: str
    pattern: str
    does: str


SECONDS = r"[0-9]{1,5}(\.[0-9]{1,9})?"
NUMBER = r"[1-9][0-9]{0,5}"
STATUS = r"[45][0-9]{2}"

KINDS: dict[str, Kind] = {
    "silent": Kind("", "", "sends nothing more on open sessions and keeps them open"),
    "abrupt": Kind("10", SECONDS, "=SECONDS resets each session at that age (RST)"),
    "no-close-frame": Kind("10", SECONDS, "=SECONDS ends each session's TCP at that age without a close frame"),
    "close": Kind(
        "1001", rf"[1-4][0-9]{{3}}(@{SECONDS})?", "=CODE[@SECONDS] closes each session with CODE, 10 s old or as given"
    ),
    "close-at-once": Kind("", "", "ends each connection right after its handshake"),
    "handshake": Kind("503", STATUS, "=STATUS refuses the WebSocket handshake"),
    "no-pingpong": Kind("", "", "sends no PINGPONG"),
    "keep-after-error": Kind("", "", "keeps the socket after an answer with rt_cd 9"),
    "forget": Kind("60", SECONDS, "=SECONDS forgets each registration at that age and goes on with PINGPONG"),
    "duplicate": Kind("10", NUMBER, "=N sends every Nth frame twice"),
    "reorder": Kind("10", NUMBER, "=N sends every Nth frame after its successor"),
    "missing": Kind("10", NUMBER, "=N leaves out every Nth tick"),
    "malformed": Kind("10", NUMBER, "=N adds a malformed frame or record to every Nth frame, each kind in turn"),
    "encrypted": Kind("", "", "encrypts data frames"),
    "extra": Kind("1", NUMBER, "=N appends N columns to each record"),
    "trailing-caret": Kind("", "", "ends each frame with ^"),
    "batch": Kind("4", NUMBER, "=N puts N ticks into a frame, 999 at most"),
    "friendly-refusal": Kind("", "", "answers OPSP0011 without the approval key and keeps the socket"),
    "burst": Kind("10", NUMBER, "=N ends TCP at more than N registrations within a second"),
    "burn-key": Kind("", "", "refuses the approval key of a session that ended without a close frame"),
    "lost-replies": Kind("1", NUMBER, "=N obeys every Nth request but sends no reply"),
    "slow-replies": Kind("2", SECONDS, "=SECONDS delays each reply"),
    "echo": Kind(
        "reply",
        "|".join(ECHOES),
        f"={'|'.join(ECHOES)} quotes secrets of the client in errors, close reasons, a header, or approval errors",
    ),
    "approval-down": Kind("503", STATUS, "=STATUS answers the approval call with this HTTP status"),
    "approval-error": Kind("EGW00103", "EGW[0-9]{5}", "=EGWxxxxx refuses the approval call"),
    "approval-slow": Kind("5", SECONDS, "=SECONDS delays the approval call's answer"),
    "rest-error": Kind("MCA00005", "[A-Z]{3,4}[0-9]{4,5}", "=CODE refuses quotation calls, inside HTTP 200"),
    "rest-too-fast": Kind("2", NUMBER, "=N answers every Nth quotation call with EGW00201"),
    "rest-down": Kind("503", STATUS, "=STATUS answers quotation calls with this HTTP status"),
    "rest-body": Kind("html", "|".join(BODIES), f"={'|'.join(BODIES)} replaces the quotation calls' answers"),
    "approval-body": Kind("html", "|".join(BODIES), f"={'|'.join(BODIES)} replaces the approval call's answer"),
}


def listing() -> str:
    """Return a text with one line for each fault, for help and error messages."""
    lines = [f"{name}: {kind.does}" for name, kind in KINDS.items()]
    return "\n".join([*lines, "reply:<ISIN or *>=OPSPxxxx: answers registrations of that ISIN with the code"])


class Faults:
    """The faults in force."""

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self._values: dict[str, str] = {}
        self._replies: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self.on_change: Callable[[], None] = lambda: None
        for spec in specs:
            self.set(spec)

    def set(self, spec: str) -> None:
        """Switch on `NAME`, `NAME=VALUE` or `reply:<ISIN or *>=OPSPxxxx`.

        Raises FaultUnknownError for any other text.
        """
        name, _, value = spec.partition("=")
        if name.startswith("reply:"):
            if name == "reply:" or REPLY_VALUE.fullmatch(value) is None:
                raise FaultUnknownError(f"Fault {spec!r} is not of the form reply:<ISIN or *>=OPSPxxxx")
            self._replies[name.removeprefix("reply:")] = value
            return
        kind = KINDS.get(name)
        if kind is None:
            raise FaultUnknownError(f"Fault {name!r} is unknown. The faults are:\n{listing()}")
        value = value or kind.default
        if re.fullmatch(kind.pattern, value) is None:
            raise FaultUnknownError(f"Fault {spec!r} has a value it cannot take. {name}: {kind.does}")
        self._values[name] = value
        self._counts[name] = 0
        self.on_change()

    def clear(self, name: str | None = None) -> None:
        """Switch off one fault (or one `reply:<ISIN or *>`), or all of them."""
        if name is None:
            self._values.clear()
            self._replies.clear()
        elif name.startswith("reply:"):
            self._replies.pop(name.removeprefix("reply:"), None)
        else:
            self._values.pop(name, None)
        self.on_change()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """Return the fault's value, or None while it is off."""
        return self._values.get(name)

    def seconds(self, name: str) -> float | None:
        """Return the fault's value in seconds, or None while it is off."""
        value = self._values.get(name)
        return None if value is None else float(value)

    def number(self, name: str, otherwise: int) -> int:
        """Return the fault's value as a whole number, or `otherwise` while it is off."""
        value = self._values.get(name)
        return otherwise if value is None else int(value)

    def echoes(self, where: str) -> bool:
        """Return whether the fault `echo` quotes secrets in this kind of text."""
        return self._values.get("echo") == where

    @property
    def cut_sessions(self) -> bool:
        """Whether a fault in force ends sessions."""
        return any(name in self._values for name in CUTS)

    def strike(self, name: str) -> bool:
        """Count one occasion and return whether the fault applies, which is so at every Nth one."""
        value = self._values.get(name)
        if value is None:
            return False
        self._counts[name] += 1
        return self._counts[name] % int(value) == 0

    def reply_for(self, tr_key: str) -> str | None:
        """Return the code that a fault sets as the answer to registrations of `tr_key`, or None."""
        return self._replies.get(tr_key, self._replies.get("*"))
