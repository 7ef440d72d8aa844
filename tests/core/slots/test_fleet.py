"""Replicas that know each other only by their status records agree, and harm no innocent bond."""

from random import Random

import pytest

from tests.core.slots.fleet_model import BONDS, LOST_AFTER, MOST, SLOTS, TURN_SECONDS, Fleet
from tests.histories import seeds

ALIKE = ("a", "b", "c"), ("a", "b", "c")
# The app keys of the two replicas: alike, two and three of them, and none in common.
KEYS = [ALIKE, (("a", "b"), ("a", "b", "c")), (("a", "b"), ("x", "y", "z"))]
TURNS_TO_LOSE = int(LOST_AFTER / TURN_SECONDS) + 1


def history(seed):
    """Return up to eight random steps, each with the turns that follow it."""
    random = Random(seed)

    def step():
        slot, isin, number = random.choice(SLOTS), random.choice(BONDS), random.randint(0, 1)
        return random.choice(
            [
                ("want", random.sample(BONDS, len(BONDS)), random.randint(0, len(BONDS))),
                ("narrow", slot, random.randint(1, MOST)),
                ("drop", slot),
                ("block", slot),
                ("unblock", slot),
                ("hand_over", slot),
                ("kill", number),
                ("cut_off", number),
                ("reconnect",),
                ("refuse", isin),
                ("refuse_and_drop", isin),
                ("forgive",),
                ("name", isin),
                ("rewrite",),
                ("make_topic_anew",),
                ("set_clock", random.randint(0, 1), random.choice([-600.0, 600.0])),
            ]
        )

    return [(step(), random.choice([1, 2, 2, 2, TURNS_TO_LOSE])) for _ in range(random.randint(1, 8))]


def keys(seed):
    """Return the app keys of both replicas in a history."""
    return KEYS[seed % len(KEYS)]


def live(steps, keys=ALIKE, **options):
    """Let a fleet live through a history; what is written again asks KIS for nothing."""
    fleet = Fleet(keys, **options)
    for (step, *arguments), turns in steps:
        if step in {"rewrite", "make_topic_anew"}:
            fleet.settle()
            is_quiet, before = fleet.is_quiet(turns * TURN_SECONDS), fleet.requests()
            getattr(fleet, step)(*arguments)
            fleet.turns(turns)
            assert not is_quiet or fleet.requests() == before, "KIS was asked again"
        else:
            getattr(fleet, step)(*arguments)
            fleet.turns(turns)
    fleet.settle()


@pytest.mark.parametrize(("code", "quick"), [("OPSP8992", 60), ("OPSP0009", 30)])
def test_replicas_that_know_each_other_by_their_records_agree(code, quick):
    """Whatever happens, both replicas end alike, and lists written again release no bond."""
    for seed in seeds(f"fleet, {code}", quick):
        try:
            live(history(seed), keys(seed), code=code, overlap=bool(seed % 2))
        except AssertionError as error:
            raise AssertionError(f"history {seed}, {code}, {error}: {keys(seed)} {history(seed)}") from error


def test_a_group_that_forms_again_moves_no_bond():
    """A replica that joins first cannot open the other one's slot, whose bonds stay there."""
    fleet = Fleet(KEYS[1])
    one, two = fleet.replicas
    fleet.want(BONDS, len(BONDS))
    for slot in one.told.keys() & two.worlds.keys() - {2}:
        fleet.hand_over(slot)
    fleet.turns(6)
    assert two.worlds.keys() == {2}
    requests, carried = fleet.requests(), fleet.carried()
    fleet.rebalance([one])
    fleet.turns(2)
    fleet.rebalance()
    fleet.turns(2)
    assert (fleet.requests(), fleet.carried()) == (requests, carried)


def test_refused_bonds_of_a_high_priority_hold_no_place():
    """Six refused bonds come first, and every place still gets a good bond."""
    live([*((("refuse", isin), 1) for isin in BONDS[:6]), (("want", BONDS, 11), 2), (("rewrite",), 8)])


def test_bonds_whose_errors_may_pass_hold_no_place():
    """Six of them come first; two minutes later every good bond is carried, and stays so."""
    fleet = Fleet(ALIKE, code="OPSP0009")
    fleet.want(BONDS, 0)
    for isin in BONDS[:6]:
        fleet.refuse(isin)
    fleet.turns(3)
    fleet.want(BONDS, len(BONDS))
    fleet.turns(12)
    for _ in range(180):
        fleet.turns(1)
        assert sum(map(len, fleet.carried().values())) >= 5
    fleet.settle()


def test_a_bond_asked_for_anew_takes_its_place_once_its_wait_is_over():
    """Until then no other bond makes room for it; then KIS is asked, however long the wait was."""
    fleet = Fleet(ALIKE, code="OPSP0009")
    fleet.want(BONDS, 0)
    fleet.refuse(BONDS[0])
    fleet.want(BONDS, 1)
    fleet.turns(60)
    fleet.want(BONDS, 10)
    fleet.turns(3)
    fleet.errors.clear()
    before = fleet.requests()
    fleet.name(BONDS[0])
    fleet.turns(20)
    assert fleet.requests() == before
    fleet.turns(40)
    assert fleet.states()[BONDS[0]] == "ACTIVE"


def refused_first(code, wanted):
    """Return a fleet that wants so many bonds, the first of which KIS refused, and its slot."""
    fleet = Fleet(ALIKE, code=code)
    fleet.want(BONDS, 0)
    fleet.refuse(BONDS[0])
    fleet.want(BONDS, wanted)
    fleet.turns(1)
    while fleet.states()[BONDS[0]] != "REJECTED":
        fleet.turns(1)
    slot = fleet.replicas[0].records[f"instrument/{BONDS[0]}"]["slot"]
    fleet.forgive()
    return fleet, slot


@pytest.mark.parametrize("code", ["OPSP8992", "OPSP0009"])
def test_a_refused_bond_of_a_lost_slot_is_tried_where_there_is_room(code):
    """Another program has the app key for hours; the other slots have six free places."""
    fleet, slot = refused_first(code, 3)
    fleet.block(slot)
    fleet.turns(2 * TURNS_TO_LOSE)
    assert fleet.states()[BONDS[0]] == "ACTIVE"
    fleet.settle()


def test_a_refused_bond_of_a_lost_slot_takes_no_place_from_another():
    """All places are taken, so it stays where it was refused."""
    fleet, slot = refused_first("OPSP8992", 7)
    fleet.block(slot)
    fleet.turns(2 * TURNS_TO_LOSE)
    requests = fleet.requests()
    fleet.turns(60)
    assert (fleet.requests(), fleet.states()[BONDS[0]]) == (requests, "REJECTED")


def test_after_a_crash_a_bond_whose_error_passed_has_its_place_again():
    """Its wait died with its session, so the next owner asks KIS."""
    fleet, slot = refused_first("OPSP0009", 10)
    fleet.kill(next(n for n, replica in enumerate(fleet.replicas) if slot in replica.worlds))
    fleet.turns(12)
    assert fleet.states()[BONDS[0]] == "ACTIVE"


def test_a_list_that_names_a_refused_bond_before_its_slot_has_an_owner_is_heard():
    """The owner is dead, and the group has yet to notice."""
    fleet, slot = refused_first("OPSP8992", 10)
    number = next(n for n, replica in enumerate(fleet.replicas) if slot in replica.worlds)
    died = fleet.replicas[number]
    died.is_cut_off, died.worlds = True, {}
    fleet.turns(11)
    fleet.name(BONDS[0])
    fleet.turns(2)
    fleet.kill(number)
    fleet.turns(6)
    assert fleet.states()[BONDS[0]] == "ACTIVE"


def test_a_bond_named_while_its_error_may_pass_is_not_refused_without_a_code_for_good():
    """KIS ends the sessions without a word after the bond was named; then KIS is well again."""
    fleet = Fleet(ALIKE, code="OPSP0009")
    fleet.want(BONDS, 0)
    fleet.refuse_and_drop(BONDS[0])
    for world in fleet.worlds():
        world.is_terse = True
    fleet.want(BONDS, 10)
    fleet.turns(4)
    fleet.name(BONDS[0])
    fleet.turns(3)
    fleet.forgive()
    fleet.turns(30)
    assert fleet.states()[BONDS[0]] == "ACTIVE"


def test_a_slot_that_flaps_moves_its_bonds_ever_more_rarely():
    """Each time a slot is lost again, it waits longer for its bonds, which others carry."""
    fleet, waits = Fleet(ALIKE), []
    fleet.want(BONDS, 6)
    for _ in range(4):
        fleet.block(0)
        fleet.turns(TURNS_TO_LOSE + 1)
        fleet.unblock(0)
        begun = fleet.now
        while any(replica.lost for replica in fleet.replicas):
            fleet.turns(1)
        waits.append(fleet.now - begun)
    assert waits[0] < waits[1] < waits[2] < waits[3]
    fleet.settle()


def test_a_replica_that_starts_knows_a_living_owner_whose_clock_is_ahead():
    """It takes no bond from a slot whose owner it read about in the topic."""
    live([(("refuse", BONDS[1]), 2), (("kill", 1), 2), (("kill", 1), 2)], KEYS[1])


def test_two_blocked_slots_cost_a_bond_one_outage():
    """The bond of a lost slot goes to no slot that was blocked when its own bonds left."""
    live([(("block", 0), 1), (("block", 1), 1), (("want", [BONDS[0]], 1), 8), (("kill", 1), 2)], KEYS[2])


@pytest.mark.parametrize(
    ("first", "blocked", "keys"), [(BONDS[2:5], (0, 2), ALIKE), (BONDS[1:2], (2, 0), KEYS[1])], ids=["one", "two"]
)
def test_a_bond_of_a_lost_slot_does_not_wait_as_long_for_an_idle_one(first, blocked, keys):
    """The idle slot was blocked as well, which shows as soon as the bond comes to it."""
    wanted = [*first, *(isin for isin in BONDS if isin not in first)]
    one, two = blocked
    live([(("want", wanted, len(first)), 1), (("block", one), 1), (("block", two), 1)], keys)


@pytest.mark.parametrize(
    ("steps", "keys"),
    [
        (
            [(("refuse_and_drop", BONDS[2]), 1), (("block", 0), 1), (("refuse", BONDS[1]), 1), (("hand_over", 2), 1)],
            ALIKE,
        ),
        (
            [
                (("cut_off", 1), 1),
                (("refuse_and_drop", BONDS[2]), 1),
                (("narrow", 2, 3), 1),
                (("refuse_and_drop", BONDS[1]), TURNS_TO_LOSE),
                (("block", 0), 1),
            ],
            KEYS[1],
        ),
    ],
    ids=["handed_over", "cut_off"],
)
def test_a_blocked_slot_with_nothing_but_refused_bonds_stays_lost(steps, keys):
    """The refusals are older than the block, so they do not show that the slot works."""
    live(steps, keys)


def test_a_replica_without_kafka_keeps_its_sessions():
    """However long it hears nobody, it releases no bond, and back in contact it has its slots."""
    fleet = Fleet(ALIKE)
    fleet.turns(3)
    cut_off = fleet.replicas[0]
    before = {slot: set(world.held) for slot, world in cut_off.worlds.items()}
    fleet.cut_off(0)
    for _ in range(3 * TURNS_TO_LOSE):
        fleet.turns(1)
        assert {slot: world.held for slot, world in cut_off.worlds.items()} == before
    fleet.settle()
    assert {slot: world.held for slot, world in cut_off.worlds.items()} == before


def test_a_replica_that_was_cut_off_forgets_whom_it_refused_meanwhile():
    """The other replica got the refused bond while nobody heard from the first one."""
    before, after = (
        [BONDS[n] for n in ranks] for ranks in ((8, 0, 9, 6, 5, 10, 7, 1, 2, 3, 4), (4, 0, 5, 6, 8, 7, 1, 2, 10, 9, 3))
    )
    live(
        [
            (("refuse", BONDS[6]), 1),
            (("want", before, 5), 2),
            (("cut_off", 1), 1),
            (("want", after, 6), TURNS_TO_LOSE),
        ],
        KEYS[1],
    )


def test_a_bond_that_ticks_is_not_shown_as_refused_after_an_outage_of_kafka():
    """Another replica asked for it meanwhile and was refused; the session that has it went on."""
    live([(("cut_off", 1), 1), (("refuse", BONDS[1]), 1), (("drop", 1), 2)], KEYS[2])


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("steps", "keys"),
    [
        ([(("refuse_and_drop", BONDS[1]), 1), (("cut_off", 1), 1), (("name", BONDS[1]), 1)], KEYS[2]),
        ([(("refuse", BONDS[2]), 1), (("cut_off", 0), TURNS_TO_LOSE), (("name", BONDS[2]), 1)], ALIKE),
        (
            [
                (("cut_off", 1), 1),
                (("want", [BONDS[n] for n in (7, 6, 9, 3, 2, 4, 10, 0, 1, 8, 5)], 3), 1),
                (("refuse", BONDS[9]), 1),
                (("block", 0), TURNS_TO_LOSE),
            ],
            ALIKE,
        ),
    ],
    ids=["strangers", "alike", "blocked"],
)
def test_replicas_that_were_both_refused_a_bond_keep_one_record_of_it(steps, keys, overlap):
    """Each asked KIS while one was cut off; then the last record of the topic counts for both."""
    live(steps, keys, overlap=overlap)
