"""Describes every setting for people and editors: a commented YAML file, and a JSON Schema."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from connector.settings.meanings import MEANINGS, SECTIONS
from connector.settings.mistakes import bounds_of, shown_bound
from connector.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80  # columns, of a terminal and of the example
HEAD = """# Every setting of kis-bond with its default; an empty one is not set.
# Keep what differs, and give the file with --config or KIS_BOND_CONFIG.
# kis-bond check reads the file and names every mistake in it.
"""
# pydantic keeps its own words where a setting may be a number or a text.
JSON_WORDS = {"ge": "minimum", "le": "maximum"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is as YAML has it, None if there is none or the host decides it."""

    section: str
    name: str
    default: Any
    is_computed: bool
    values: str
    meaning: str

    @property
    def path(self) -> str:
        """The section and the name, joined by a dot."""
        return f"{self.section}.{self.name}"


def settings() -> Iterator[Setting]:
    """Yield every setting in the order of `MEANINGS`."""
    schemas = json_schema()["properties"]
    for section, names in _sections():
        for name, field in names.items():
            bounds = bounds_of(field.rebuild_annotation())
            default = None if field.default_factory else field.default
            yield Setting(
                section,
                name,
                _yaml_value(default, takes_text="string" in _types(schemas[section]["properties"][name])),
                field.default_factory is not None,
                ", ".join(_choices(schemas[section]["properties"][name]))
                or (f"{shown_bound(bounds[0])} to {shown_bound(bounds[1])}" if bounds else ""),
                MEANINGS[f"{section}.{name}"],
            )


def example() -> str:
    """Return a settings file that `load` accepts, and that changes nothing."""
    lines, section = [HEAD.rstrip()], ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"# {SECTIONS[section]}", f"{section}:"]
        text = f"{setting.meaning} ({setting.values})" if setting.values else setting.meaning
        lines += textwrap.wrap(
            text,
            WIDTH,
            initial_indent="  # ",
            subsequent_indent="  # ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        value = yaml.safe_dump(setting.default).split("\n")[0] if setting.default is not None else ""
        lines.append(f"  {'# ' if setting.is_computed else ''}{setting.name}: {value}".rstrip())
    return "\n".join(lines) + "\n"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a settings file.

    It knows names, types, choices and bounds. What only `kis-bond check` can tell, such as whether
    a file can be read, is not in it.
    """
    generated = Settings.model_json_schema()
    properties = {}
    for section, names in _sections():
        definition = generated["$defs"][Settings.model_fields[section].annotation.__name__]  # type: ignore[union-attr]
        fields = {
            name: {"description": MEANINGS[f"{section}.{name}"]} | _plain(definition["properties"][name])
            for name in names
        }
        properties[section] = {
            "type": "object",
            "description": SECTIONS[section],
            "additionalProperties": False,
            "properties": fields,
        }
    return {
        "$schema": DIALECT,
        "title": "Settings of kis-bond",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _sections() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each section with its fields, in the order of their meanings."""
    for section in SECTIONS:
        fields = getattr(Settings.model_fields[section].annotation, "model_fields", {})
        meant = (path.partition(".") for path in MEANINGS)
        yield section, {name: fields[name] for of, _, name in meant if of == section}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a setting's schema in JSON's words, without its name and an absent default."""
    return {
        JSON_WORDS.get(key, key): value
        for key, value in schema.items()
        if key != "title" and (key, value) != ("default", None)
    }


def _alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return found


def _types(schema: dict[str, Any]) -> list[str]:
    return [each.get("type", "") for each in _alternatives(schema)]


def _choices(schema: dict[str, Any]) -> list[str]:
    return [word for each in _alternatives(schema) for word in each.get("enum", ())]


def _yaml_value(default: object, *, takes_text: bool) -> Any:
    """Return a default as a settings file has it: a path as text, and a size with its unit."""
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, int) and not isinstance(default, bool) and takes_text:
        return shown_bound(default)
    return default
