"""The tests' schema registry."""

import json
import urllib.request


def test_the_registry_speaks_confluents_api(registry_url):
    """The registry answers with a JSON list of subjects."""
    with urllib.request.urlopen(f"{registry_url}/subjects", timeout=30) as response:
        assert isinstance(json.load(response), list)
