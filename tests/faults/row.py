"""One row of the fault matrix: a fault, the expectation, and the checks of the outcome."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One figure compared with its bound."""

    name: str
    figure: str
    met: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A row, by its number in the fault matrix."""

    number: str
    fault: str
    expected: str
    play: Callable[[Any], Awaitable[list[Check]]]
    is_timed: bool
    why_not: Callable[[], str | None]


ROWS: dict[str, Row] = {}
# The group of rows that need a proxy, a Kerberos realm or an OpenID provider.
ACCESS = "F"


def row(
    number: str,
    *,
    fault: str,
    expected: str,
    is_timed: bool = False,
    why_not: Callable[[], str | None] = lambda: None,
) -> Callable[[Callable[[Any], Awaitable[list[Check]]]], Any]:
    """Register a coroutine function of a `Rig` as a row; one that bounds times is played alone.

    `why_not` says why this machine cannot play the row, or None. Such a row is left out.
    """

    def register(play: Callable[[Any], Awaitable[list[Check]]]) -> Any:
        assert number not in ROWS, f"row {number} is there twice"
        ROWS[number] = Row(number, fault, expected, play, is_timed, why_not)
        return play

    return register


def equal(name: str, figure: float, expected: float) -> Check:
    """Compare a figure with its only good value."""
    return Check(name, _text(figure), figure == expected)


def at_most(name: str, figure: float, bound: float) -> Check:
    """Compare a figure with an upper bound."""
    return Check(name, f"{_text(figure)} (at most {_text(bound)})", figure <= bound)


def at_least(name: str, figure: float, bound: float) -> Check:
    """Compare a figure with a lower bound."""
    return Check(name, f"{_text(figure)} (at least {_text(bound)})", figure >= bound)


def shown(name: str, figure: float | str) -> Check:
    """Report a figure that has no bound."""
    return Check(name, figure if isinstance(figure, str) else _text(figure), met=True)


def true(name: str, met: bool) -> Check:
    """Report whether a condition holds."""
    return Check(name, "yes" if met else "no", met)


def _text(figure: float) -> str:
    return f"{figure:,.2f}".rstrip("0").rstrip(".") if isinstance(figure, float) else f"{figure:,}"
