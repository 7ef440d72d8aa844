"""The rows of the fault matrix about proxies and logins, each on one broker."""

import os

import pytest

from tests.access.conftest import REQUIRED
from tests.conftest import left_out
from tests.faults import results
from tests.faults.row import ROWS
from tests.faults.worker import play

NAMES = [name for name in ROWS if name.startswith("F")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(600)
async def test_a_row_is_met(access_rig, name, capsys):
    """The figures of the row are as it says."""
    row = ROWS[name]
    if (why := row.why_not()) is not None:
        left_out[f"row {name}"] = why, REQUIRED
        assert os.environ.get(REQUIRED) != "1", why
        pytest.skip(why)
    result = await play(row, access_rig)
    with capsys.disabled():
        figures = [*results.lines(result), *(f"{each['name']}: {each['figure']}" for each in result["checks"])]
        print("", f"{name} {row.fault}", *figures, sep="\n    ")  # noqa: T201 - honest figures, met or not
    assert result["met"], result["error"] or [check for check in result["checks"] if not check["met"]]
