"""Counts the work of a call: the bytecodes and the calls of C functions that Python executes.

Unlike a time, the count is the same on every machine, however busy it is. It differs between minor
versions of Python, whose bytecodes differ. It does not see what happens inside a C function.
"""

import gc
import platform
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

PYTHON = ".".join(platform.python_version_tuple()[:2])


def count(call: Callable[[], object]) -> int:
    """Return how many bytecodes and C calls this call takes.

    No garbage is collected meanwhile: collecting calls what others registered, `gc.callbacks` and
    finalizers, whenever it happens to begin.
    """
    bytecodes = c_calls = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal bytecodes
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        bytecodes += event == "opcode"
        return trace

    def profile(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal c_calls
        c_calls += event == "c_call"

    tracer, profiler, collects = sys.gettrace(), sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
        if collects:
            gc.enable()
    return bytecodes + c_calls
