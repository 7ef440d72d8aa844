"""Lists and their status through Kafka alone: another client writes and reads every record."""

import asyncio
import json
import signal

import jsonschema
import pytest

from connector.core.bonds.isin import with_check_digit
from simulator import Simulator
from tests.deployment import Deployment
from tests.published import CONTROL, STATUS

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(20)]
A, B, C, D = ISINS[:4]


@pytest.fixture
async def own(kafka, topic_names, tmp_path):
    """Give a connector, not started, beside an exchange that has room for two."""
    async with Simulator(capacity=2) as kis:
        deployed = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
        deployed.create_topics()
        yield deployed
        if deployed.process:
            await deployed.end(signal.SIGKILL)


async def status_records(own):
    """Return every status record by key, oldest first, checked against the schema."""
    found = {}
    for record in await own.records(own.names.status):
        value = record.value and json.loads(record.value)
        if value:
            jsonschema.validate(value, STATUS, format_checker=jsonschema.FormatChecker())
        found.setdefault(record.key.decode(), []).append(value)
    return found


async def until_told(own, key, **expected):
    """Wait until the latest status record of a key has these fields."""

    async def told():
        latest = (await own.latest(own.names.status)).get(key) or {}
        return {name: latest.get(name) for name in expected} == expected

    await own.until(told)


async def test_a_plain_client_says_what_is_wanted_and_reads_what_became_of_it(own):
    """Lists, single bonds and tombstones of any client count, and every status fits the schema."""
    for fault in (f"reply:{C}=OPSP8992", "keep-after-error", "slow-replies=0.3"):
        own.kis.faults.set(fault)
    wishes = [("desk", {"instruments": [A, C], "priority": 7, "requested_at": "2026-01-02T09:00:00+09:00"}), (B, {})]
    for name, wish in wishes:
        jsonschema.validate(wish, CONTROL)
        own.write(name, wish)
    await own.start()
    await own.until_state("ACTIVE", [A, B])
    await until_told(
        own, f"instrument/{C}", state="REJECTED", code="OPSP8992", lists=["desk"], control={"partition": 0, "offset": 0}
    )
    own.write(D, {"priority": 1})
    await until_told(own, f"instrument/{D}", state="WAITING_CAPACITY", slot=None, control={"partition": 0, "offset": 2})
    await own.kis.drop(how="abrupt")
    await own.until(lambda: _was(own, f"instrument/{A}", "DISCONNECTED"))
    await own.until_state("ACTIVE", [A, B])
    own.write(B, None)
    await own.until_state("ACTIVE", [A, D])
    own.write("desk", b'{"instruments": ["KR1"]}')
    await until_told(own, "list/desk", state="REFUSED", instruments=2, control={"partition": 0, "offset": 4})
    assert await own.end() == 0
    found = await status_records(own)
    assert [record and record["state"] for record in found[f"instrument/{B}"]][-1] is None
    assert found[f"list/{B}"][-1] is None
    assert found["list/desk"][-1]["in_force"] == {"value": wishes[0][1], "control": {"partition": 0, "offset": 0}}
    states = {
        record["state"]
        for key, records in found.items()
        if key.startswith("instrument/")
        for record in records
        if record
    }
    assert states == {"PENDING", "ACTIVE", "WAITING_CAPACITY", "REJECTED", "DISCONNECTED"}
    assert found["slot/0"][-1]["state"] == "IDLE"
    log = own.log.read_text()
    assert '"list": "desk"' in log
    assert "the 2 instruments of offset 0" in log


async def _was(own, key, state):
    return state in [record and record["state"] for record in (await status_records(own)).get(key, [])]


async def test_a_bond_wanted_and_withdrawn_over_and_over_is_no_loop_at_kis(own):
    """Thirty turns of one bond's record cost at most five requests; the last wish wins."""
    own.write("desk", {"instruments": [A]})
    await own.start()
    await own.until_state("ACTIVE", [A])
    for _ in range(30):
        own.write(B, {})
        await asyncio.sleep(0.1)  # the writer's time, nothing is waited for
        own.write(B, None)
        await asyncio.sleep(0.1)
    own.write(B, {})
    await own.until_state("ACTIVE", [A, B])
    assert len([answer for answer in own.kis.replies if answer.tr_key == B]) <= 5
    assert set(own.kis.sessions[0].tr_keys) == {A, B}
    assert await own.end() == 0
