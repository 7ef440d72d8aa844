"""What happens to the chart's pods on a real cluster, and what must hold then."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from tests.faults.row import Check, at_most, equal, shown, true
from tests.k8s.cluster import NODE
from tests.k8s.release import NAME, RELEASE, Release
from tests.replicas.rig import Ledger

Play = Callable[[Release], Awaitable[list[Check]]]
TRIALS: dict[str, tuple[str, str, Play]] = {}


def trial(name: str, what: str, expected: str) -> Callable[[Play], Play]:
    """Register a coroutine function as a trial. They run in the order of this file."""

    def register(play: Play) -> Play:
        TRIALS[name] = (what, expected, play)
        return play

    return register


def figures(ledger: Ledger, *, is_killed: bool = False) -> list[Check]:
    """Return what must hold in every trial, and the figures that each one shows.

    If a process is killed, what its socket had received, and it had not read, is lost.
    """
    return [
        shown("sent to the process and not read", ledger.undelivered)
        if is_killed
        else equal("sent and not delivered", ledger.undelivered, 0),
        shown("traded", ledger.traded),
        shown("missed", ledger.missed),
        shown("repeats", ledger.duplicates),
        shown("OPSP8996", ledger.in_use),
        shown("sessions opened", ledger.connects),
    ]


def gap(ledger: Ledger, most: float) -> Check:
    """Return the check of the longest time that a bond was not heard."""
    return at_most("gap, s", round(ledger.gap_seconds, 1), most)


@trial("one step", "standalone with one pod becomes group with two pods in one upgrade", "refused with a sentence")
async def one_step(release: Release) -> list[Check]:
    """The first install; then the step that would open a second session for each app key."""
    wanted = release.values
    alone = wanted["config"] | {"replicas": {"coordination": "standalone"}}
    code, said, took = await release.apply("--create-namespace", replicas=1, config=alone)
    assert code == 0, said
    active = await release.until_active()
    release.kis.rate = 60
    release.begin()
    await release.traded(3)
    refused, why, _ = await release.apply(replicas=2, config=wanted["config"])
    await release.traded(3)
    before = await release.ledger()
    release.begin()
    first, said, _ = await release.apply(config=wanted["config"])
    assert first == 0, said
    await release.until_active()
    second, said, _ = await release.apply(replicas=2)
    assert second == 0, said
    await release.traded(3)
    ledger = await release.ledger()
    return [
        shown("installed and ready after, s", round(took, 1)),
        shown("every bond active after that, s", round(active, 1)),
        true("refused in one step", refused != 0 and "make two upgrades" in why),
        equal("missed by the refusal", before.missed, 0),
        gap(ledger, 45),
        *figures(ledger),
    ]


@trial("hung", "the owner's process is stopped with SIGSTOP", "another pod has its bonds within 45 s")
async def hung(release: Release) -> list[Check]:
    """Liveness kills what does not answer, and the standby tries until KIS lets it in."""
    return await struck(release, signal.SIGSTOP, ends_seconds=120, most_seconds=45)


@trial("rollout", "a changed annotation rolls both pods", "one hand-over, or two if the owner is the first to go")
async def rollout(release: Release) -> list[Check]:
    """The standby that was updated first becomes the owner."""
    release.begin()
    await release.traded(2)
    code, said, took = await release.apply(podAnnotations={"example.com/rolled": str(time.time())})
    assert code == 0, said
    await release.until_active()
    await release.traded(3)
    ledger = await release.ledger()
    return [
        at_most("sessions opened", ledger.connects, 2),
        gap(ledger, 15),
        shown("helm upgrade --wait, s", round(took, 1)),
        *figures(ledger),
    ]


@trial("killed", "the owner's process is killed", "its container starts again, or the standby takes over")
async def killed(release: Release) -> list[Check]:
    """A kill costs the session timeout at most."""
    return await struck(release, signal.SIGKILL, ends_seconds=60, most_seconds=30)


@trial("rollback", "lists change in an upgrade; then helm rollback", "the lists of the earlier revision are in force")
async def rollback(release: Release) -> list[Check]:
    """The hook job applies the lists after a rollback, too."""
    release.begin()
    fewer = {"lists": {"desk": {"instruments": release.isins[:-4]}}, "args": ["--confirm"]}
    before = release.values
    code, said, _ = await release.apply(subscriptions=fewer)
    assert code == 0, said
    await release.until("fewer bonds", lambda: release.registered() == set(release.isins[:-4]))
    release.values = before
    code, said, took = await release.helm("rollback", RELEASE, "--wait")
    assert code == 0, said
    back = await release.until_active()
    return [
        shown("helm rollback --wait, s", round(took, 1)),
        at_most("all bonds active after that, s", round(back, 1), 10),
    ]


@trial("wrong lists", "an upgrade whose lists the connector refuses", "the hook job fails at its first try")
async def wrong_lists(release: Release) -> list[Check]:
    """A permanent refusal is not repeated."""
    isin = release.isins[0]
    wrong = isin[:-1] + str((int(isin[-1]) + 1) % 10)
    code, said, took = await release.apply(subscriptions={"lists": {"desk": {"instruments": [wrong]}}})
    pods = await asyncio.to_thread(
        release.cluster.get, "pods", "--namespace", "bonds", "--selector", f"job-name={NAME}-subscriptions"
    )
    await release.kubectl("delete", "job", f"{NAME}-subscriptions", "--ignore-not-found")
    return [
        true("refused", code != 0 and "failed" in said),
        equal("tries", len(pods["items"]), 1),
        at_most("helm upgrade took, s", round(took, 1), 60),
    ]


@trial("polite, no kafka", "Kafka is away for 8 s; then the owner is deleted", "a session again within 25 s")
async def polite_without_kafka(release: Release) -> list[Check]:
    """The stop waits for nobody who does not answer; the next start uses the saved slots."""
    release.begin()
    await release.traded(2)
    pod = await release.owner()
    gone: list[float] = []
    await asyncio.to_thread(release.kafka.stop)
    await release.traded(8)
    deleting = asyncio.create_task(release.kubectl("delete", "pod", pod))
    await release.until("the session ends", lambda: not release.kis.sessions, 60)
    ended = time.monotonic()
    deleting.add_done_callback(lambda _: gone.append(time.monotonic() - ended))
    without = await release.until("a session", lambda: bool(release.kis.sessions), 120)
    await release.until_active()
    await deleting
    await asyncio.to_thread(release.kafka.start)
    await release.traded(3)
    await ready(release)
    ledger = await release.ledger()
    return [
        shown("the pod is gone after its session, s", round(gone[0], 1)),
        at_most("without a session, s", round(without, 1), 25),
        gap(ledger, 40),
        *figures(ledger),
    ]


@trial("drain", "kubectl drain of the owner's node", "refused without --delete-emptydir-data; one hand-over with it")
async def drain(release: Release) -> list[Check]:
    """The journal is on its claim; only /tmp is lost."""
    release.begin()
    await release.traded(2)
    pod = await release.owner()
    one = f"statefulset.kubernetes.io/pod-name={pod}"
    arguments = ("drain", NODE, "--ignore-daemonsets", "--pod-selector", one, "--timeout", "120s")
    try:
        await release.kubectl(*arguments)
        refusal = ""
    except AssertionError as error:
        refusal = str(error)
    await release.kubectl(*arguments, "--delete-emptydir-data")
    await release.until_active()
    await release.traded(3)
    await release.kubectl("uncordon", NODE)
    await ready(release)
    ledger = await release.ledger()
    return [
        true("refused without the option", "--delete-emptydir-data" in refusal),
        gap(ledger, 15),
        *figures(ledger),
    ]


async def struck(release: Release, number: signal.Signals, *, ends_seconds: float, most_seconds: float) -> list[Check]:
    """Send a signal to the owner's process, and wait until its bonds are active again.

    Its session has to end within `ends_seconds`; no bond may be unheard for `most_seconds`.
    """
    release.begin()
    await release.traded(2)
    pod = await release.owner()
    os.kill(await asyncio.to_thread(release.cluster.process_of, pod), number)
    await release.until("the session ends", lambda: not release.kis.sessions, ends_seconds)
    await release.until_active()
    await release.traded(3)
    await ready(release)
    ledger = await release.ledger()
    return [gap(ledger, most_seconds), *figures(ledger, is_killed=True)]


async def ready(release: Release) -> None:
    """Wait until every pod is ready again."""
    await release.kubectl("rollout", "status", f"statefulset/{NAME}", "--timeout", "240s")
