"""What a simulated KIS is told at its start."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """One simulated KIS; port 0 takes any free port, and without `app_keys` any non-empty pair is accepted."""

    host: str = "127.0.0.1"
    rest_port: int = 0
    ws_port: int = 0
    app_keys: Sequence[tuple[str, str]] = field(default=(), repr=False)
    rate: float = 0.0
    """Ticks per second over all sessions; 0 sends nothing by itself."""
    seed: int = 1
    bonds: Sequence[str] = ()
    """Bonds that trade whether a session registered them or not; those not registered are logged as `unheard`."""
    capacity: int = 41
    """Registrations a session may hold: 41 by KIS's notices, though accounts were seen refused at the fourth."""
    in_use: Literal["refuse", "kick"] = "refuse"
    """Which side loses when an app key comes twice: reports differ."""
    linger_seconds: float = 0.0
    """How long an app key stays taken after its client left without a close frame."""
    ping: Literal["lenient", "strict"] = "lenient"
    """`strict` drops the TCP connection at a Ping or Pong whose payload is no PINGPONG."""
    pingpong_seconds: float = 10.0
    pingpong_timeout_seconds: float = 100.0
    approval_interval_seconds: float = 1.0
    """Least time between two approval keys."""
    approvals_counted: Literal["for each app key", "together"] = "for each app key"
    """Between which approval keys that time lies: KIS's notice does not say."""
    approval_hours: float = 24.0
    error_shape: Literal["gateway", "rt_cd"] = "gateway"
    """Error body of the approval call: `error_code` and `error_description`, or `rt_cd`, `msg_cd` and `msg1`."""
    faults: Sequence[str] = ()
    sent_log: Path | None = None
    keep_sent: bool = True
    """Whether `Simulator.sent` fills; a run of hours leaves it off."""
    send_buffer_bytes: int = 64 * 1024 * 1024
    """A client that lets more than this wait is reset."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970, from which the ticks take their Seoul time."""
