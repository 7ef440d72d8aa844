"""Whether everything the exchange sent arrived."""

from collections import defaultdict
from datetime import datetime, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo


def identities(kis):
    """Return the identities each sent record may have: today's, or yesterday's near midnight."""
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    days = [f"{today - timedelta(days=back)}|".encode() for back in (0, 1)]
    sent = [
        record.raw
        for frame in kis.sent
        for record in frame.records
        if record.reason is None and frame.kind not in ("unheard", "withheld")
    ]
    return [{blake2b(day + raw.encode(), digest_size=16).hexdigest() for day in days} for raw in sent]


def assert_all_arrived(kis, ticks):
    """Assert that exactly the sent records are there, in volume order for each bond."""
    found = {tick["tick_id"] for tick in ticks}
    expected = identities(kis)
    assert [ids for ids in expected if not ids & found] == []
    assert found <= set().union(*expected)
    volumes = defaultdict(dict)
    for tick in ticks:
        volumes[tick["STND_ISCD"]].setdefault(tick["ACML_VOL"], None)
    for of_bond in volumes.values():
        assert list(of_bond) == sorted(of_bond)
