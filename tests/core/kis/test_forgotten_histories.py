"""Random days of one session with a KIS that forgets registrations and says nothing."""

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from connector.core.kis.probe import BLAMED_SECONDS
from tests.core.kis.kis_model import PERIOD, A, B, C, Probed
from tests.histories import count, histories

BONDS = [A, B, C]
SOME = st.lists(st.sampled_from(BONDS), unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), SOME),
        st.tuples(st.just("pass"), st.sampled_from([1.0, 60.0, 290.0, 700.0])),
        st.tuples(st.just("tick"), SOME),
        st.tuples(st.just("forget"), SOME),
        st.tuples(st.just("forget all"), st.none()),
        st.tuples(st.just("drop"), st.none()),
        st.tuples(st.just("drop at a probe"), st.none()),
    ),
    min_size=3,
    max_size=14,
)


class Forgetful(Probed):
    """A KIS that forgets; notes since when each bond has been ACTIVE that KIS does not hold."""

    def __init__(self):
        self.step = 10.0
        self.ticking = []
        self.false_since = {}
        # Bonds that KIS forgot together with all others: one probe finds them all.
        self.found_by = {}
        self.forgotten = set()  # in this session
        # A bond forgotten a second time may have ticked in between, which stops the probes.
        self.has_forgotten_twice = False
        self.was_dropped_after_probe = False
        super().__init__()

    def check(self):
        """Check how long a bond may be ACTIVE that KIS has forgotten."""
        false = {isin for isin, state in self.states().items() if state == "ACTIVE"} - self.held
        self.false_since = {isin: self.false_since.get(isin, self.now) for isin in false}
        if self.probe.stopped is not None:
            return
        for isin, since in self.false_since.items():
            # Every bond of the session has its turn, and each turn takes a period.
            assert self.now - since <= len(BONDS) * PERIOD + 15, f"{isin} was forgotten and not found"
        for isin in false:
            assert self.now <= self.found_by.get(isin, self.now), f"{isin} was forgotten with all others and not found"

    def forget(self, *isins):
        losses = self.held & set(isins)
        self.has_forgotten_twice |= bool(losses & self.forgotten)
        self.forgotten |= losses
        super().forget(*isins)
        if not self.held:
            self.found_by = dict.fromkeys(BONDS, self.now + PERIOD + 15)

    def connect(self):
        super().connect()
        self.found_by = {}
        self.forgotten = set()

    def drop(self):
        if self.session.is_open:
            self.was_dropped_after_probe |= self.now - self.probe._asked_at <= BLAMED_SECONDS
            super().drop()

    def spend_until_probe(self):
        """Let time pass until a probe was sent, if one comes."""
        end = self.now + PERIOD + 10
        while self.session.is_open and self.now < end and self.now - self.probe._asked_at > BLAMED_SECONDS:
            self.spend(1.0)

    def register(self, isin):
        self.found_by.pop(isin, None)
        return super().register(isin)

    def spend(self, seconds):
        """Let time pass, ten seconds at a time."""
        end = self.now + seconds
        while self.now < end:
            self.live(min(10.0, end - self.now), *(isin for isin in self.ticking if isin in self.held))
            self.check()


# Histories this long are not shrunk: that takes minutes.
@settings(max_examples=histories(40), phases=[Phase.explicit, Phase.generate])
@given(steps=STEPS)
@example(steps=[("want", BONDS), ("tick", [A, B]), ("pass", 60.0), ("forget", [C]), ("pass", 700.0), ("pass", 290.0)])
@example(steps=[("want", BONDS), ("tick", [A]), ("pass", 60.0), ("forget", [C]), ("pass", 700.0), ("pass", 290.0)])
@example(steps=[("want", BONDS), ("pass", 290.0), ("forget all", None), ("pass", 700.0)])
@example(steps=[("want", BONDS), ("drop at a probe", None), ("pass", 700.0)])
@example(  # a bond is found a second time only after the last step
    steps=[
        ("want", [B, C, A]),
        ("pass", 290.0),
        ("tick", [C, A, B]),
        ("forget all", None),
        ("pass", 700.0),
        ("forget", [C, B]),
    ]
)
def test_no_forgotten_registration_stays_active(steps):
    """What KIS forgets is found within one period for each bond, and is registered again."""
    count("session, forgotten registrations")
    world = Forgetful()
    for what, value in steps:
        match what:
            case "want":
                world.session.want(value, world.now)
            case "pass":
                world.spend(value)
            case "tick":
                world.ticking = value
            case "forget":
                world.forget(*value)
            case "forget all":
                world.forget(*BONDS)
            case "drop at a probe":
                world.spend_until_probe()
                world.drop()
            case "drop":
                world.drop()
        world.check()
    check_end(world, steps)


def check_end(world, steps):
    """Check that the probes stopped only for a reason, and that KIS holds what is wanted."""
    has_stopped = world.probe.stopped is not None
    assert has_stopped or not world.was_dropped_after_probe, "the probes went on after they may have ended a session"
    assert not has_stopped or world.was_dropped_after_probe or world.has_forgotten_twice, (
        "the probes stopped for another reason"
    )
    asked = [at for at, tr_type, _ in world.requests if tr_type == "1"]
    hours = 1 + world.now / 3600.0
    assert len(asked) <= hours * 3600.0 / PERIOD * (1 + len(BONDS)) + 10 * len(steps), "KIS was asked too often"
    if world.probe.stopped is None:
        world.spend((len(BONDS) + 1) * PERIOD)
    if world.probe.stopped is None:
        assert set(world.session.wanted) == world.held
