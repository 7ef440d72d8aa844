"""The documentation's pictures of the terminal can be drawn again."""

import re
from xml.etree import ElementTree as ET

import pytest

from tests.terminal.pictures import take

pytestmark = pytest.mark.slow


def test_every_picture_is_drawn(tmp_path):
    """The pictures are SVG that asks no other host, and show the demo and the commands."""
    live, commands = take(tmp_path)
    texts = ["".join(ET.parse(path).getroot().itertext()).replace("\xa0", " ") for path in (live, commands)]
    assert all("KR103502GA34" in text and "ACTIVE" in text for text in texts)
    assert "  .venv/bin/kis-bond subs add KR103502GA34" in texts[0]
    assert "A connector is running." in texts[1]
    for path in (live, commands):
        hosts = re.findall(r"https?://([^/\"' )<&:]+)", path.read_text())
        assert set(hosts) <= {"www.w3.org", "127.0.0.1"}
        assert path.stat().st_size < 60_000
