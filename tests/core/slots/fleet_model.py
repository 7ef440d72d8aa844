"""A fleet of two replicas in virtual time, which know each other only by their status records."""

import json
from collections import Counter, deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from connector.core import status
from connector.core.bonds.isin import with_check_digit
from connector.core.kis.backoff import Backoff
from connector.core.kis.session import Session
from connector.core.lists.desired import newly_asked
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.core.slots.assignment import LATEST, Claim, assign
from connector.core.slots.lease import FOREVER, Lease
from connector.core.slots.moving import Moves, with_attempts
from connector.core.slots.outage import Outages
from connector.core.slots.placement import place
from connector.core.status import ReplicaView
from connector.core.steps import finished
from connector.shell.kafka.compacted_topic import TopicRecord
from connector.shell.topics.status import WRITER, StatusTopic
from tests.core.kis.kis_model import PACE, WAITS, World, unchanged
from tests.core.lists.at_once import apply_all

MOST = 3
SLOTS = range(3)
BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
TURN_SECONDS = 10.0
SESSION_TIMEOUT = 15.0
LOST_AFTER = 120.0
# A bond is carried by nobody at most until its slot is lost, and the others have placed and
# registered the bond: kis.slot_lost_seconds, three turns, and one turn of the measuring. The time
# begins again whenever slots get new owners, because an owner counts what it saw itself, and when
# the bond comes to a slot that is blocked and not lost yet.
MOST_SECONDS_WITHOUT_SLOT = LOST_AFTER + 4 * TURN_SECONDS
# A bond that comes and goes rests on the slot that it leaves, for longer than this.
MOST_SECONDS_ON_TWO_SLOTS = 30.0
# After an error that may pass, a bond keeps its place for a minute more, and so does each further
# such bond that takes the place after it. Bonds that make room for such bonds again and again rest
# longer each time.
MORE_SECONDS = {"OPSP0009": 80.0}
RETRY_TURNS = 200  # more than half an hour, after which KIS is asked again for what it refused
# KIS could call more abuse. Without a session, a slot tries every half a minute; each step of a
# history costs a few attempts more.
MOST_ATTEMPTS_AN_HOUR = 150
BONDS = [with_check_digit(f"KR{number:09}") for number in range(11)]


class Exchange(World):
    """A tiny KIS with one session for each app key, which another program can keep from us."""

    def __init__(self, slot, replica, fleet):
        super().__init__(limit=fleet.limits[slot])
        self.slot, self.replica, self.fleet = slot, replica, fleet
        self.errors, self.dropping, self.now = fleet.errors, fleet.dropping, fleet.now
        self.opened_at = None

    @property
    def may_connect_at(self):
        permitted_at = self.replica.lease.may_connect_at(self.slot, self.now)
        return float("inf") if permitted_at is None else max(permitted_at, super().may_connect_at)

    @property
    def app_key(self):
        return self.replica.app_keys[self.slot]

    def connect(self):
        self.fleet.note_attempt(self)
        if self.fleet.is_in_use(self):
            self.close("in_use", "OPSP8996", "ALREADY IN USE appkey")
        else:
            self.opened_at = self.now
            super().connect()

    def close(self, cause, code, message):
        super().close(cause, code, message)
        lasted = None if self.opened_at is None else self.now - self.opened_at
        self.opened_at = None
        self.replica.lease.record_end(self.slot, cause, lasted, self.now)


class Replica:
    """One replica: the records it read, a session for each of its slots, and a clock of its own."""

    def __init__(self, name, fleet, app_keys, clock):
        self.name, self.fleet, self.app_keys, self.clock = name, fleet, app_keys, clock
        self.records, self.heartbeats = {}, status.Heartbeats()
        self.writer_name = f"{name}-{next(fleet.offsets)}".encode()
        self.topic = StatusTopic(None, self.writer_name)
        self.unread = []  # the records of the status topic that we have yet to read
        self.placement, self.moves, self.recorder = {}, Moves(), status.Recorder()
        self.outages, self.seen, self.turns, self.lost = Outages(LOST_AFTER), None, 0, frozenset()
        self.worlds, self.lists = {}, fleet.lists
        self.told, self.limits = {}, {}  # of all slots: what the group said last, and what we count
        self.named = frozenset()  # the bonds that lists ask for anew
        self.lease, self.generation, self.since = Lease(SESSION_TIMEOUT, FOREVER, fleet.now), -1, LATEST
        self.is_cut_off = False
        self.followed_seconds = 0.0  # for which we have followed the status topic
        self.records = finished(self.topic.restore(list(fleet.topic.values())))
        self.hear(self.records)

    @property
    def claim(self):
        is_open = frozenset(slot for slot, world in self.worlds.items() if world.session.view.registered)
        return Claim(self.generation, frozenset(self.worlds), is_open, MOST, self.app_keys, self.since)

    def follow(self, slots, limits, generation):
        """Run exactly the slots that the group assigned."""
        self.told, self.generation, self.since = limits, generation, min(self.since, generation)
        self.lease.assign(slots, self.fleet.now)
        if self.seen is not None and self.worlds.keys() - set(slots):
            self.records = self.topic.readable()
            self.hear(self.records)
            self.seen = replace(self.seen, slots={k: view for k, view in self.seen.slots.items() if k in slots})
        self.worlds = {slot: self.worlds.get(slot) or self.take(slot) for slot in slots}

    def take(self, slot):
        """Begin a slot's session with the limit that the last owner learned."""
        world = Exchange(slot, self, self.fleet)
        waits = replace(WAITS, in_use_wait_max=WAITS.in_use_wait)
        learnt = status.capacity(self.records, slot)
        pace = replace(PACE, session_capacity=MOST)
        world.session = Session(slot, "P", pace, Backoff(waits, lambda: 0.5), clean=unchanged, learned_limit=learnt)
        return world

    @property
    def now(self):
        return (BEGIN + timedelta(seconds=self.fleet.now + self.clock)).isoformat()

    def views(self):
        """Return our slots as the status topic shows them: a lost one has no room."""
        views = {slot: world.session.view for slot, world in self.worlds.items()}
        return views | {slot: replace(views[slot], capacity=0) for slot in self.lost & views.keys()}

    def others(self):
        """Return the slots that we do not run."""
        return frozenset({*self.told, *self.limits}) - self.worlds.keys()

    def note_outages(self):
        """Find out which of our slots are lost, unless another replica may have their sessions."""
        if self.lease.in_contact(self.fleet.now):
            self.lost = self.outages.lost(self.views(), self.fleet.now)

    def turn(self):
        """Place, send KIS what is due, and write our records."""
        if not self.is_cut_off:
            self.lease.confirm(self.fleet.now)
            self.followed_seconds += TURN_SECONDS
        for world in self.worlds.values():
            world.session.retry_rejected(self.named)
        self.records = status.asked_anew(self.records, self.named, self.views())
        others = self.others()
        alive = others - self.heartbeats.silent(others, self.followed_seconds)
        self.named = status.unowned(self.records, self.named, others - alive)
        silent = self.heartbeats.silent(others, self.followed_seconds, LOST_AFTER)
        self.limits = status.known_limits(self.told, self.limits, self.records, silent)
        places = status.places(self.records, self.limits, silent)
        self.placement = place(self.lists.desired, places)
        views = self.views()

        def is_active_elsewhere(isin, slot):
            return slot in alive and status.is_active(self.records, isin, slot)

        wishes = self.moves.carried(self.placement, views, is_active_elsewhere, places.refused, self.fleet.now)
        lost = self.lost & views.keys()
        wishes = with_attempts(wishes, self.placement, views, places.refused, lost)
        for slot, wish in wishes.items():
            world = self.worlds[slot]
            world.limit = self.fleet.limits[slot]
            world.session.want(wish, world.now)
            world.session.data_received(world.now)
            world.advance(TURN_SECONDS)
        self.note_outages()
        self.report()

    def report(self):
        """Make our records, and write those that we may write."""
        views = self.views()
        others = self.others()
        alive = others - self.heartbeats.silent(others, self.followed_seconds)
        self.seen = ReplicaView(self.placement, views, self.lists, self.name, others, alive)
        # A record that was not made when due stays wrong, so a look now and then finds it.
        self.turns += 1
        whole = None if self.turns % 5 else status.records(self.seen, self.records, self.now, self.topic.content)
        self.records = self.recorder.records(self.seen, self.records, self.now, self.topic.content)
        assert whole is None or self.records == whole
        self.topic.publish(self.records, self.may_write)
        for outgoing in self.topic.differing():
            self.fleet.write(outgoing, self.writer_name)
            self.topic._note(outgoing, None)

    def is_mine(self, key):
        before = self.topic.content.get(key, self.records.get(key, {}))
        return self.seen is not None and status.is_ours(self.seen, key, before)

    def may_write(self, key):
        return not self.is_cut_off and self.lease.is_undisputed(self.fleet.now) and self.is_mine(key)

    def hear(self, records):
        """Note when each slot's owner was heard."""
        self.heartbeats.note(records, self.followed_seconds, self.now)

    def read_topic_again(self):
        """Read the status topic from its beginning, as after each new connection to Kafka."""
        self.unread = []
        known = finished(self.topic.restore(list(self.fleet.topic.values())))
        kept = {
            key: record
            for key, record in self.records.items()
            if key not in known or (record.get("state") != "REJECTED" and self.is_mine(key))
        }
        self.hear(known)
        self.recorder = status.Recorder()
        ours = status.unconfirmed(known, self.worlds.keys(), self.now)
        self.records = ours | status.wanted(kept, self.lists.desired)

    def read(self):
        """Apply the new records of the status topic, except those that are ours."""
        records, self.unread = self.unread, []
        theirs, accepted = self.topic.follow(records)
        self.hear(theirs)
        for key, record in accepted.items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        if any(status.owner(theirs, slot) is not None for slot in self.worlds):
            self.lease.dispute(self.fleet.now)

    def read_lists(self, lists):
        """Follow the control topic."""
        self.named |= newly_asked(self.lists, lists)
        self.lists = lists


class Fleet:
    """Two replicas of one group, and what happens to them. One's clock is behind.

    KIS refuses bonds with `code`. If the replicas' turns `overlap`, each writes before it reads
    what the other one wrote, ten seconds later. So their records may be wrong for a turn.
    """

    def __init__(self, keys, *, code="OPSP8992", overlap=False):
        self.now, self.code, self.overlap = 0.0, code, overlap
        self.limits, self.blocked, self.errors, self.dropping = dict.fromkeys(SLOTS, MOST), set(), {}, set()
        self.forgiven = set()  # the bonds that KIS refused at some time, and takes by now
        self.owners = {}  # the app key that each slot was last opened with
        self.generation, self.topic = 0, {}  # the latest record of the status topic by key, in order
        self.lists, self.values, self.offsets = Lists(), {}, count()
        self.attempts = {}  # when each app key was last used, by app key
        self.replicas = [Replica(f"replica-{n}", self, own, 200.0 * n) for n, own in enumerate(keys)]
        self.ticking = {}  # the slot on which each bond was last shown as ACTIVE
        self.twice_since, self.missing_since, self.placement = {}, {}, {}
        self.rebalance()
        self.want(BONDS, 8)

    @property
    def wanted(self):
        """The desired bonds, the most important first."""
        return list(self.lists.desired)

    @property
    def members(self):
        """The replicas that the group knows of."""
        return [replica for replica in self.replicas if not replica.is_cut_off]

    def rebalance(self, members=()):
        """Let the group assign the slots to these members, or to all."""
        self.generation += 1
        members = members or self.members
        given, told = assign(SLOTS, {member.name: member.claim for member in members}, self.owners)
        self.owners = told.owners
        self.missing_since, self.twice_since = {}, {}
        for member in members:
            member.follow(given[member.name], dict(told.limits), self.generation)

    # What may happen.

    def set_clock(self, number, seconds):
        """Set the wall clock of a replica forward or back."""
        self.replicas[number].clock += seconds

    def kill(self, number):
        """Kill a replica. The other one gets its slots, and then it comes back without slots."""
        died = self.replicas[number]
        died.is_cut_off, died.worlds = True, {}
        self.rebalance()
        self.replicas[number] = Replica(died.name, self, died.app_keys, died.clock)
        self.rebalance()

    def cut_off(self, number):
        """Cut a replica off from Kafka, but not from KIS; the group gives its slots away later."""
        if len(self.members) == len(self.replicas):
            self.replicas[number].is_cut_off = True
            self.turns(2)
            self.rebalance()

    def reconnect(self):
        """End the outage of a replica: it reads both topics again and joins the group."""
        for replica in self.replicas:
            if replica.is_cut_off:
                replica.is_cut_off = False
                replica.read_lists(self.lists)
                replica.read_topic_again()
                self.rebalance()

    def want(self, ranked, most):
        """Ask for the first bonds; each has a list of its own, whose time is the bond's rank."""
        for rank, isin in enumerate(ranked):
            self.put(isin, [isin] if rank < most else [], rank)
        self.rewrite()

    def name(self, isin):
        """Ask for a bond by one list more, which named another bond before."""
        self.put("one more", [isin], len(BONDS))
        self.rewrite()

    def put(self, name, instruments, rank):
        """Change what a list will say when it is written."""
        value = {"instruments": instruments, "requested_at": f"2026-01-01T00:00:{rank:02}Z"}
        self.values[name] = json.dumps(value | {"confirm_removal": True}).encode()

    def rewrite(self):
        """Write every list again, which asks for nothing new if the list says the same."""
        records = [
            ControlRecord(name.encode(), value, Position(0, next(self.offsets)), 0)
            for name, value in self.values.items()
        ]
        self.lists = apply_all(self.lists, records)
        for replica in self.members:
            replica.read_lists(self.lists)

    def make_topic_anew(self):
        """Lose the status topic: each replica reads it from the beginning, and writes it again."""
        self.topic = {}
        for replica in self.members:
            replica.read_topic_again()

    def write(self, outgoing, writer_name):
        """Write a record to the status topic, which has no room for tombstones."""
        record = TopicRecord(outgoing.key, outgoing.value, 0, next(self.offsets), 0, ((WRITER, writer_name),))
        key = outgoing.key.decode()
        self.topic.pop(key, None)
        if outgoing.value is not None:
            self.topic[key] = record
        for replica in self.members:
            replica.unread.append(record)

    def narrow(self, slot, limit):
        """Lower the limit of an app key, from its next session on."""
        self.limits[slot] = limit
        self.drop(slot)

    def drop(self, slot):
        for world in self.worlds():
            if world.slot == slot and world.session.is_open:
                world.drop()

    def block(self, slot):
        """Let another program use the app key, which ends our session."""
        self.blocked.add(slot)
        self.drop(slot)

    def unblock(self, slot):
        self.blocked.discard(slot)

    def refuse(self, isin):
        """Refuse a bond from the next request on."""
        self.errors[isin] = self.code

    def refuse_and_drop(self, isin):
        """Refuse a bond from the next request on, and end the connection just after the reply."""
        self.refuse(isin)
        self.dropping.add(isin)

    def forgive(self):
        """Refuse no bond any more."""
        self.forgiven |= self.errors.keys()
        self.errors.clear()
        self.dropping.clear()

    def hand_over(self, slot):
        """Let a slot go to the other replica if it can open the slot."""
        giver, taker = self.replicas if slot in self.replicas[0].worlds else reversed(self.replicas)
        if slot < len(taker.app_keys) and len(self.members) == len(self.replicas):
            self.generation += 1
            self.missing_since = {}
            giver.follow(giver.worlds.keys() - {slot}, giver.told, self.generation)
            taker.follow([*taker.worlds, slot], taker.told, self.generation)

    # What KIS sees.

    def is_in_use(self, world):
        """Whether another program or another replica has the only session of a world's app key."""
        return world.slot in self.blocked or any(
            other.session.is_open and other is not world and other.app_key == world.app_key for other in self.worlds()
        )

    def note_attempt(self, world):
        """Count an attempt to connect, and check that KIS could not call the attempts abuse."""
        attempts = self.attempts.setdefault(world.app_key, deque())
        attempts.append(world.now)
        while attempts[0] <= world.now - 3600.0:
            attempts.popleft()
        assert len(attempts) <= MOST_ATTEMPTS_AN_HOUR, f"{len(attempts)} attempts to connect in an hour"

    def worlds(self):
        return [world for replica in self.replicas for world in replica.worlds.values()]

    def requests(self):
        return sum(len(world.requests) for world in self.worlds())

    def is_quiet(self, seconds):
        """Whether no session has a reason of its own to ask KIS for anything within this time."""
        due = [world.session._registrations.next_deadline(world.now) for world in self.worlds()]
        return all(at is None or at > self.now + seconds for at in due)

    def carried(self):
        """Return the bonds each slot's exchange holds."""
        held = {}
        for world in self.worlds():
            held.setdefault(world.slot, set()).update(world.held)
        return held

    # Time passes.

    def turns(self, count):
        for _ in range(count):
            for writer in self.replicas:
                writer.turn()
                if not self.overlap:
                    self.read()
                    self.check_moving(writer)
            self.read()
            self.now += TURN_SECONDS
            self.check_carrying()

    def read(self):
        for replica in self.members:
            replica.read()

    def check_carrying(self):
        """Check that no bond is long on two slots, or on none while there is room for it."""
        if len(self.members) < len(self.replicas):
            # A replica that is cut off carries what it last knew of, and nobody can say how long.
            self.twice_since, self.missing_since = {}, {}
            return
        carriers = Counter(isin for held in self.carried().values() for isin in held)
        # A lost slot proves itself with one bond of another slot, for half an hour at most.
        lost = {slot for replica in self.replicas for slot in replica.lost & replica.worlds.keys()}
        moving = Counter(isin for slot, held in self.carried().items() if slot not in lost for isin in held)
        twice = {isin for isin, slots in moving.items() if slots > 1}
        missing = {isin for isin in self.wanted if isin not in carriers and isin not in self.ever_refused}
        if self.room() <= len(carriers):
            missing.clear()
        more = MORE_SECONDS.get(self.code, 0.0) * len(self.ever_refused)
        self.twice_since = {isin: self.twice_since.get(isin, self.now) for isin in twice}
        came, self.placement = self.came_to_blocked(), self.replicas[0].placement
        self.missing_since = {
            isin: self.now if isin in came else self.missing_since.get(isin, self.now) for isin in missing
        }
        for isin, since in self.twice_since.items():
            allowed = MOST_SECONDS_ON_TWO_SLOTS + self.rest(isin)
            assert self.now - since <= allowed, f"{isin} is registered twice"
        for isin, since in self.missing_since.items():
            assert self.now - since <= MOST_SECONDS_WITHOUT_SLOT + more, f"{isin} waits though there is room"

    def rest(self, isin):
        """Return how long a bond rests before a slot releases it, as it came and went so often."""
        return max(world.session._registrations._damping.rest(isin, world.now) for world in self.worlds())

    def came_to_blocked(self):
        """Return the bonds that were just placed on a slot which another program keeps from us."""
        placed = self.replicas[0].placement.items()
        return {isin for isin, slot in placed if slot in self.blocked and self.placement.get(isin) != slot}

    @property
    def ever_refused(self):
        return self.forgiven | self.errors.keys()

    def room(self):
        """Return how many bonds the slots can carry that no other program keeps from us."""
        return sum(world.session.capacity for world in self.worlds() if world.slot not in self.blocked)

    def check_moving(self, writer):
        """Check that no bond is shown without ticks while the session that brought them goes on."""
        if len(self.members) < len(self.replicas):
            self.ticking = {}
            return
        for isin in self.wanted:
            record = writer.records.get(f"instrument/{isin}", {})
            state, went_on = record.get("state"), isin in self.carried().get(self.ticking.get(isin), ())
            assert not (went_on and state in {"DISCONNECTED", "REJECTED"}), f"{isin} is {state}"
            self.ticking[isin] = record["slot"] if state == "ACTIVE" else None

    def states(self):
        return {isin: self.replicas[0].records[f"instrument/{isin}"]["state"] for isin in self.wanted}

    # In the end.

    def settle(self):
        """Let ten minutes pass, and check that both replicas agree and no room is left unused."""
        self.reconnect()
        self.turns(60)
        for _ in range(3):  # a refused bond that ends sessions may just have been tried again
            if self.is_steady():
                break
            self.turns(1)
        one, two = self.replicas
        assert one.placement == two.placement
        timeless = [
            {key: {**record, "alive_at": "", "since": ""} for key, record in replica.records.items()}
            for replica in self.replicas
        ]
        assert timeless[0] == timeless[1]
        assert self.topic.keys() == one.records.keys() == two.records.keys(), "the topic lacks a record"
        topic = {key: status.decode(record.value) for key, record in self.topic.items()}
        assert topic == one.topic.readable() == two.topic.readable(), "a replica misread the topic"
        held = [isin for isins in self.carried().values() for isin in isins]
        good = [isin for isin in self.wanted if isin not in self.ever_refused or isin in held]
        assert len(held) == min(len(good), self.room()), "room is empty while a good bond waits"
        assert len(set(held)) == len(held), "a bond is registered twice"
        assert set(held) <= set(good)
        active = {isin for isin, state in self.states().items() if state == "ACTIVE"}
        assert active == set(held)
        if self.forgiven:
            self.turns(RETRY_TURNS)
            self.check_retries()

    def check_retries(self):
        """Check that each bond which KIS would take has been asked for, if its slot has room."""
        carried = self.carried()
        held = {isin for isins in carried.values() for isin in isins}
        free = {
            world.slot: world.session.capacity - len(carried[world.slot])
            for world in self.worlds()
            if world.slot not in self.blocked
        }
        for isin in self.wanted:
            if isin not in held and isin not in self.errors:
                slot = self.replicas[0].records[f"instrument/{isin}"]["slot"]
                room = free[slot] if slot in free else sum(free.values())
                assert room <= 0, f"{isin} is tried by nobody: {self.states()[isin]} on {slot}, {free}"

    def is_steady(self):
        """Whether each slot that is not blocked has a session, or needs none."""
        return all(
            world.session.is_open or not world.session.is_needed or world.slot in self.blocked
            for world in self.worlds()
        )
