"""Whether everything the exchange sent arrived."""

from collections import defaultdict
from datetime import datetime, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo


def identities(kis):
    """Return, for each record sent, the identities it may have: its trade date is today's, or yesterday's around midnight."""
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    days = [f"{today - timedelta(days=back)}|".encode() for back in (0, 1)]
    sent = [record.raw for frame in kis.sent for record in frame.records if record.reason is None]
    return [{blake2b(day + raw.encode(), digest_size=16).hexdigest() for day in days} for raw in sent]


def assert_all_arrived(kis, ticks):
    """Each record sent is there, nothing else is, and each bond's first copies are in the order of its accumulated volume."""
    found = {tick["tick_id"] for tick in ticks}
    expected = identities(kis)
    assert [ids for ids in expected if not ids & found] == []
    assert found <= set().union(*expected)
    volumes = defaultdict(dict)
    for tick in ticks:
        volumes[tick["STND_ISCD"]].setdefault(tick["ACML_VOL"], None)
    for of_bond in volumes.values():
        assert list(of_bond) == sorted(of_bond)
