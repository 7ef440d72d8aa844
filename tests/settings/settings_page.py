"""Writes docs/settings.md from the settings' definitions."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from connector.settings.meanings import SECTIONS
from connector.settings.reference import Setting, settings

PAGE = Path(__file__).parents[2] / "docs/settings.md"
HEAD = """# Settings

Made from the code by `make settings-page`; a test fails where the two differ. The same as a file to
start from:

```
$ kis-bond config example > kis-bond.yaml
$ kis-bond check --config kis-bond.yaml
```

`kis-bond config schema` prints the JSON Schema of this file. An editor with the YAML language server
completes and checks names while you write, if the first line of the file is
`# yaml-language-server: $schema=kis-bond.schema.json`.

Settings come from a YAML file (`--config FILE` or `KIS_BOND_CONFIG`) and from the environment. If
both give a setting, the environment wins. The variable for `kafka.bootstrap_servers` is
`KIS_BOND_KAFKA__BOOTSTRAP_SERVERS`, and the others follow the same rule. Unknown names are errors,
and so is a variable that differs from one of ours only by underscores. An empty variable counts as
unset if its setting may be unset.

The connector trims blanks, line ends and byte order marks around a value, and expands `~` at the
start of a path. It expands nothing else: a path or a URL with `$NAME`, and any value with `${NAME}`
or `$(NAME)`, is refused, as is a value with invisible characters or with quotes around it. Seconds
and hours are numbers without a unit. All mistakes are reported at once, before anything is
connected.
"""


def page() -> str:
    """Return the text of docs/settings.md."""
    sections = groupby(settings(), key=lambda setting: setting.section)
    return "\n".join([HEAD, *(line for section, found in sections for line in _section(section, found))])


def _section(section: str, found: Iterator[Setting]) -> Iterator[str]:
    yield f"## {section}\n"
    yield f"{SECTIONS[section]}.\n"
    yield "| setting | default | values | meaning |\n|---|---|---|---|"
    for setting in found:
        values = setting.values.replace(", ", "`, `")
        shown = f"`{values}`" if ", " in setting.values else setting.values
        yield f"| `{setting.path}` | {_default(setting)} | {shown} | {setting.meaning} |"
    yield ""


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "the host's" if setting.is_computed else "not set"
    return f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
