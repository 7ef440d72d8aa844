"""Replicas that know each other only by their status records agree."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core import status
from connector.core.bonds.isin import with_check_digit
from connector.core.kis.backoff import Backoff
from connector.core.kis.session import Session
from connector.core.lists.desired import Desired
from connector.core.lists.subscription import Lists, Position
from connector.core.slots.moving import carried
from connector.core.slots.placement import placement
from connector.core.status import ReplicaView
from tests.core.kis.kis_model import PACE, WAITS, World, unchanged
from tests.histories import count, histories

SLOTS, MOST = range(4), 4
NOW = "2026-01-02T00:00:00Z"
BONDS = [with_check_digit(f"KR{number:09}") for number in range(20)]
# KIS refuses one bond for good. A slot can be given as many refused bonds as it has places, and the
# smallest slot has one.
REFUSED = BONDS[7:8]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.permutations(BONDS), st.integers(0, len(BONDS))),
        st.tuples(st.just("narrow"), st.sampled_from(SLOTS), st.integers(1, MOST)),
        st.tuples(st.just("drop"), st.sampled_from(SLOTS)),
        st.tuples(st.just("hand_over"), st.sampled_from(SLOTS)),
    ),
    max_size=8,
)


class Replica:
    """One replica: the records it read, and a session for each of its slots."""

    def __init__(self, name, slots, limits):
        self.name, self.limits = name, limits
        self.records, self.placement, self.recorder = {}, {}, status.Recorder()
        self.worlds = {slot: self.take(slot) for slot in slots}

    def take(self, slot):
        """Begin a slot's session with the limit that the last owner learned."""
        world = World(limit=self.limits[slot])
        world.errors = dict.fromkeys(REFUSED, "OPSP8992")
        learnt = status.capacity(self.records, slot)
        pace = replace(PACE, session_capacity=MOST)
        world.session = Session(slot, "P", pace, Backoff(WAITS, lambda: 0.5), clean=unchanged, learned_limit=learnt)
        return world

    def turn(self, wanted):
        """Place, send KIS what is due, and return our records, with None for a record to remove."""
        sessions = {slot: world.session for slot, world in self.worlds.items()}
        places = status.places(
            self.records, SLOTS, MOST, {slot: session.capacity for slot, session in sessions.items()}
        )
        places |= {slot: max(session.places, places[slot]) for slot, session in sessions.items()}
        self.placement = placement(wanted, places)
        views = {slot: session.view for slot, session in sessions.items()}

        def is_active(isin, slot):
            if slot not in views:
                return status.is_active(self.records, isin, slot, NOW)
            return isin in views[slot].registrations and views[slot].registrations[isin].state == "ACTIVE"

        for slot, wish in carried(self.placement, views, is_active).items():
            world = self.worlds[slot]
            world.limit = self.limits[slot]
            world.session.want(wish, world.now)
            world.session.heard(world.now)
            world.advance(10.0)
        views = {slot: session.view for slot, session in sessions.items()}
        lists = Lists(desired={isin: Desired(isin, 0, 0, ("desk",), Position(0, 0)) for isin in wanted})
        replica = ReplicaView(self.placement, views, lists, self.name, frozenset(SLOTS) - views.keys())
        whole = status.records(replica, self.records, NOW)
        before, self.records = self.records, self.recorder.records(replica, self.records, NOW)
        assert self.records == whole
        keys = [key for key in before.keys() | self.records.keys() if status.is_ours(replica, key, before.get(key, {}))]
        return {key: self.records.get(key) for key in keys}

    def read(self, records):
        """Apply the records that another replica wrote."""
        for key, record in records.items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record


class Fleet:
    """Two replicas with two slots each, and what happens to them."""

    def __init__(self):
        self.limits = dict.fromkeys(SLOTS, MOST)
        self.replicas = Replica("one", [0, 1], self.limits), Replica("two", [2, 3], self.limits)
        self.want(BONDS, 15)

    def want(self, ranked, count):
        self.wanted = ranked[:count]

    def narrow(self, slot, limit):
        """Lower the limit of an app key, from its next session on."""
        self.limits[slot] = limit
        self.drop(slot)

    def drop(self, slot):
        next(replica for replica in self.replicas if slot in replica.worlds).worlds[slot].drop()

    def hand_over(self, slot):
        giver, taker = self.replicas if slot in self.replicas[0].worlds else reversed(self.replicas)
        del giver.worlds[slot]
        taker.worlds[slot] = taker.take(slot)

    def turns(self, count):
        for _ in range(count):
            for writer, reader in (self.replicas, reversed(self.replicas)):
                reader.read(writer.turn(self.wanted))

    def carried(self):
        """Return the bonds each slot's exchange holds."""
        return {slot: world.held for replica in self.replicas for slot, world in replica.worlds.items()}


@settings(max_examples=histories(60), deadline=None)
@given(STEPS)
def test_replicas_that_know_each_other_by_their_records_agree(steps):
    """Whatever happens, both replicas end with the same placement, and no room is left unused."""
    count("fleet")
    fleet = Fleet()
    for step, *arguments in steps:
        getattr(fleet, step)(*arguments)
        fleet.turns(2)
    fleet.turns(40)
    one, two = fleet.replicas
    assert one.placement == two.placement
    assert one.records == two.records
    expected = {slot: {isin for isin, at in one.placement.items() if at == slot} - set(REFUSED) for slot in SLOTS}
    assert fleet.carried() == expected
    good = [isin for isin in fleet.wanted if isin not in REFUSED]
    # A session tries one bond more than the last one learned, so a much higher limit takes several.
    room = [world.session.capacity for replica in fleet.replicas for world in replica.worlds.values()]
    assert sum(map(len, expected.values())) == min(len(good), sum(room))
