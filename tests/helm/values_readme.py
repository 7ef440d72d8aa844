"""Writes the chart's README from values.yaml: a comment above a key describes it."""

import json
from collections.abc import Iterator

import yaml

from tests.helm.chart import CHART

VALUES = CHART / "values.yaml"
README = CHART / "README.md"
HEAD = """# kis-bond-connector

The Helm chart of the connector. How to install it, step by step:
[docs/install-kubernetes.md](../../docs/install-kubernetes.md). What the settings under `config`
mean: [docs/settings.md](../../docs/settings.md). Values files to start from: [ci/](ci).

`helm template`, `helm install` and `helm upgrade` refuse values that do not exist or contradict
each other, and say what to do.

`make chart-readme` writes this page from the comments of [values.yaml](values.yaml).

| value | default | meaning |
|---|---|---|
"""


def readme() -> str:
    """Return the README for values.yaml."""
    lines = VALUES.read_text().splitlines()
    rows = [
        f"| `{path}` | {default} | {meaning} |"
        for path, default, meaning in _rows(yaml.compose("\n".join(lines)), lines, ())
    ]
    return HEAD + "\n".join(rows) + "\n"


def undescribed() -> list[str]:
    """Return the values that have no comment, neither their own nor their mapping's."""
    lines = VALUES.read_text().splitlines()
    return [
        path for path, default, meaning in _rows(yaml.compose("\n".join(lines)), lines, ()) if default and not meaning
    ]


def _rows(node: yaml.MappingNode, lines: list[str], above: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield path, default and meaning of each value; a described mapping is a heading."""
    for key, value in node.value:
        path = (*above, key.value)
        meaning = _comment(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and _described(value, lines):
            if meaning:
                yield ".".join(path), "", meaning
            yield from _rows(value, lines, path)
        else:
            yield ".".join(path), f"`{json.dumps(_plain(value), ensure_ascii=False)}`", meaning


def _described(node: yaml.MappingNode, lines: list[str]) -> bool:
    return any(
        _comment(lines, key.start_mark.line) or (isinstance(value, yaml.MappingNode) and _described(value, lines))
        for key, value in node.value
    )


def _comment(lines: list[str], line: int) -> str:
    """Return the comment that ends just above a line, joined into one line."""
    begin = line
    while begin and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return " ".join(each.lstrip().lstrip("#").strip() for each in lines[begin:line]).replace("|", "\\|")


def _plain(node: yaml.Node) -> object:
    return yaml.safe_load(yaml.serialize(node))


if __name__ == "__main__":
    README.write_text(readme())
