"""The documentation's pictures can be taken again."""

import pytest

from tests.page.pictures import take

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.usefixtures("chromium")
async def test_both_pictures_are_taken(tmp_path):
    """A light and a dark picture are written, and they differ."""
    light, dark = await take(tmp_path, points=2)
    assert light.read_bytes().startswith(PNG)
    assert dark.read_bytes().startswith(PNG)
    assert light.read_bytes() != dark.read_bytes()
