"""The status topic's records, and the rows of `kis-bond subs ls` made from them."""

from connector.core.status.heartbeats import SILENT_SECONDS, Heartbeats
from connector.core.status.killed import killed_session
from connector.core.status.recorder import Recorder, ReplicaView, is_ours, records
from connector.core.status.records import (
    Record,
    asked_anew,
    capacity,
    decode,
    encode,
    is_active,
    known_limits,
    owner,
    places,
    stopped,
    unconfirmed,
    unowned,
    wanted,
)
from connector.core.status.standing import Standings

__all__ = [
    "SILENT_SECONDS",
    "Heartbeats",
    "Record",
    "Recorder",
    "ReplicaView",
    "Standings",
    "asked_anew",
    "capacity",
    "decode",
    "encode",
    "is_active",
    "is_ours",
    "killed_session",
    "known_limits",
    "owner",
    "places",
    "records",
    "stopped",
    "unconfirmed",
    "unowned",
    "wanted",
]
