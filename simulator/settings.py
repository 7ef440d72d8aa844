"""The settings of a simulated KIS."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Port 0 means any free port.

    If `app_keys` is empty, the simulator accepts any pair of texts that are not empty.
    """

    host: str = "127.0.0.1"
    rest_port: int = 0
    ws_port: int = 0
    app_keys: Sequence[tuple[str, str]] = field(default=(), repr=False)
    rate: float = 0.0
    """Ticks per second over all sessions. With 0, the simulator sends nothing by itself."""
    seed: int = 1
    bonds: Sequence[str] = ()
    """Bonds that always trade. The trades of a bond without a session are logged as `unheard`."""
    capacity: int = 41
    """How many registrations a session may hold. KIS's notices say 41; some accounts had 3."""
    in_use: Literal["refuse", "kick"] = "refuse"
    """Which session loses if a second session uses the same app key. Reports differ."""
    linger_seconds: float = 0.0
    """How long an app key stays in use after its client left without a close frame."""
    ping: Literal["lenient", "strict"] = "lenient"
    """`strict` ends TCP at a Ping or Pong that has no PINGPONG in it."""
    pingpong_seconds: float = 10.0
    pingpong_timeout_seconds: float = 100.0
    approval_interval_seconds: float = 1.0
    """The shortest time between two approval keys; 0 for none, because one test saw no limit."""
    token_interval_seconds: float = 60.0
    """The shortest time between two calls for an access token."""
    approvals_counted: Literal["for each app key", "together"] = "for each app key"
    """Whether `approval_interval_seconds` holds for each app key or for all calls together.

    KIS's notice does not say which.
    """
    approval_hours: float = 24.0
    token_hours: float = 24.0
    quotations_per_second: int = 18
    """How many quotation calls an app key may make in a second; 0 for any number."""
    ccnl_depth: int = 30
    """How many of the latest trades `inquire-ccnl` returns. KIS documents no number."""
    error_shape: Literal["gateway", "rt_cd"] = "gateway"
    """Whether an error of a REST call has `error_code` (gateway), or `rt_cd` and `msg_cd`."""
    faults: Sequence[str] = ()
    sent_log: Path | None = None
    keep_sent: bool = True
    """Whether to fill `Simulator.sent`. Switch it off for runs of hours."""
    send_buffer_bytes: int = 64 * 1024 * 1024
    """The simulator resets a client that has more unread data than this."""
    clock: Callable[[], float] = time.time
    """Returns seconds since 1970, from which the ticks get their Seoul time."""
