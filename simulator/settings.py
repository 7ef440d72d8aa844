"""The settings of a simulated KIS."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Port 0 means any free port. Without `app_keys` any non-empty pair is accepted."""

    host: str = "127.0.0.1"
    rest_port: int = 0
    ws_port: int = 0
    app_keys: Sequence[tuple[str, str]] = field(default=(), repr=False)
    rate: float = 0.0
    """Ticks per second over all sessions; 0 sends nothing by itself."""
    seed: int = 1
    bonds: Sequence[str] = ()
    """Bonds that always trade; a trade that no session registered is logged as `unheard`."""
    capacity: int = 41
    """Registrations a session may hold: 41 by KIS's notices; some accounts had 3."""
    in_use: Literal["refuse", "kick"] = "refuse"
    """Which session loses if a second one uses its app key: reports differ."""
    linger_seconds: float = 0.0
    """How long an app key stays in use after its client left without a close frame."""
    ping: Literal["lenient", "strict"] = "lenient"
    """`strict` drops TCP at a Ping or Pong that carries no PINGPONG."""
    pingpong_seconds: float = 10.0
    pingpong_timeout_seconds: float = 100.0
    approval_interval_seconds: float = 1.0
    """Shortest time between two approval keys."""
    approvals_counted: Literal["for each app key", "together"] = "for each app key"
    """Which approval keys that time separates: KIS's notice does not say."""
    approval_hours: float = 24.0
    error_shape: Literal["gateway", "rt_cd"] = "gateway"
    """The approval call's error body: `error_code` (gateway), or `rt_cd` and `msg_cd`."""
    faults: Sequence[str] = ()
    sent_log: Path | None = None
    keep_sent: bool = True
    """Whether to fill `Simulator.sent`; leave it off for runs of hours."""
    send_buffer_bytes: int = 64 * 1024 * 1024
    """A client with more unread data than this is reset."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970; gives the ticks their Seoul time."""
