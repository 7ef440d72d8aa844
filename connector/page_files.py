"""Finds the files of the page that `/` shows."""

from pathlib import Path
from typing import Final

INDEX: Final = "index.html"
CONTENT_TYPES: Final = {INDEX: "text/html", "page.css": "text/css", "page.js": "text/javascript"}

_FOLDER = Path(__file__).parent / "page"


def page_file(name: str) -> str:
    """Return the text of one of the page's files. Raises FileNotFoundError where the installation is incomplete."""
    return (_FOLDER / name).read_text(encoding="utf-8")
