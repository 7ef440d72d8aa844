"""The status topic's records, and the rows of `kis-bond subs ls` made from them."""

from connector.core.status.records import (
    Record,
    ReplicaView,
    capacity,
    decode,
    encode,
    is_active,
    is_ours,
    owner,
    places,
    records,
    stopped,
    unconfirmed,
)

__all__ = [
    "Record",
    "ReplicaView",
    "capacity",
    "decode",
    "encode",
    "is_active",
    "is_ours",
    "owner",
    "places",
    "records",
    "stopped",
    "unconfirmed",
]
