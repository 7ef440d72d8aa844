"""The count of work sees each bytecode and each call of a C function, but nothing inside one."""

import dis
import gc
import sys

from benchmarks.work import count


def loop(rounds):
    """Return a call that executes as many bytecodes as it has rounds, and some more."""

    def call():
        for _ in range(rounds):
            pass

    return call


def c_calls(number):
    """Return a call with so many calls of a C function."""

    def call():
        for _ in range(number):
            len("")

    return call


def round_bytecodes(call):
    """Return how many bytecodes a round of the call's loop has."""
    names = [each.opname for each in dis.get_instructions(call)]
    return names.index("JUMP_BACKWARD") - names.index("FOR_ITER") + 1


def test_bytecodes():
    """Each bytecode of each round counts, in functions that are called, too."""
    assert count(loop(1001)) - count(loop(1)) == 1000 * round_bytecodes(loop(1))
    inner = loop(1001)
    assert count(lambda: inner()) > count(inner)  # noqa: PLW0108 - the function around it is meant


def test_c_calls():
    """A C function counts once however long it takes."""
    assert count(c_calls(1001)) - count(c_calls(1)) == 1000 * (round_bytecodes(c_calls(1)) + 1)
    assert count(lambda: sum(range(10))) == count(lambda: sum(range(10_000)))


def test_repeats():
    """The same call gives the same count each time."""
    assert len({count(loop(100)) for _ in range(5)}) == 1


def test_tracer_is_restored():
    """A tracer, such as that of a coverage run, is there again afterwards."""
    before = sys.gettrace(), sys.getprofile()
    count(loop(1))
    assert (sys.gettrace(), sys.getprofile()) == before


def test_garbage_is_not_collected():
    """What others do when garbage is collected does not count; it is collected again afterwards."""
    phases = []

    def remember(phase, _info):
        phases.append(phase)

    gc.callbacks.append(remember)
    try:
        count(lambda: [[] for _ in range(10_000)])
        assert phases == []
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(remember)
