"""The documentation's pictures can be taken again."""

import pytest

from tests.page.pictures import take

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.usefixtures("chromium")
async def test_every_picture_is_taken(tmp_path):
    """Pictures of the connector's page and of the auditor's are written, and no two are alike."""
    taken = await take(tmp_path, points=2)
    assert [path.stem for path in taken] == [
        "page-light",
        "page-dark",
        "page-narrow",
        "page-coverage-light",
        "page-coverage-dark",
    ]
    contents = [path.read_bytes() for path in taken]
    assert all(content.startswith(PNG) for content in contents)
    assert len(set(contents)) == len(contents)
