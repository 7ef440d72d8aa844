"""Reads settings from the YAML file and the environment, as trees `{section: {name: value}}`."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from connector import strict_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

PREFIX = "KIS_BOND_"
CONFIG = "KIS_BOND_CONFIG"
_KUBERNETES = re.compile(r"(?:tcp|udp|sctp)://")
MAX_FILE_BYTES: Final = 2**20

_KINDS = {
    dict: "a section",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
}


def read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the tree of a YAML file, as far as it could be read, and every problem found."""
    tree, problems = strict_yaml.read(
        path, "the configuration file", "correct --config or KIS_BOND_CONFIG", MAX_FILE_BYTES
    )
    if tree is None or isinstance(tree, dict):
        return tree or {}, problems
    return {}, [
        *problems,
        f"{path}: the configuration file holds {_kind(tree)}: it must hold sections such as kafka: or kis:",
    ]


def read_environment(environ: Mapping[str, str], sections: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the tree of `KIS_BOND_<SECTION>__<NAME>` variables.

    A variable is ours if its name has a known section before `__`. A misspelt section counts too,
    so that it is refused as unknown. All other variables are ignored, because Kubernetes sets
    `KIS_BOND_PORT=tcp://...` in the pods beside a service named kis-bond.
    """
    tree: dict[str, dict[str, str]] = {}
    for variable, value in environ.items():
        section, separator, name = variable.removeprefix(PREFIX).partition("__")
        if not variable.startswith(PREFIX) or not separator or not section:
            continue
        section = section.lower()
        if difflib.get_close_matches(section, sections, n=1):
            tree.setdefault(section, {})[name.lower()] = value
    return tree


def misnamed(environ: Mapping[str, str], names: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return, by variable, the problem of each that differs from one of ours only by underscores.

    `names` has the setting names by section. A value such as `tcp://10.0.0.1:80` is Kubernetes'
    own, in a pod beside a service named kis-bond-http.
    """
    ours = {variable_of(f"{section}.{name}") for section, below in names.items() for name in below} | {CONFIG}
    meant = {variable.replace("_", ""): variable for variable in ours}
    return {
        variable: f"{variable}: is not a setting: did you mean {meant[variable.replace('_', '')]}?"
        for variable, value in environ.items()
        if variable.replace("_", "") in meant and variable not in ours and not _KUBERNETES.match(value)
    }


def variable_of(path: str) -> str:
    """Return the environment variable of a path such as `kafka.client_id`."""
    return PREFIX + path.upper().replace(".", "__")


def merge(
    file: Mapping[str, Any], environment: Mapping[str, Mapping[str, str]], sections: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return one tree in which the environment overrides the file, and the problems.

    A section of the file that is not a mapping is a problem.
    """
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for key, below in file.items():
        if isinstance(below, dict):
            merged[str(key)] = {str(name): value for name, value in below.items()}
        elif key not in sections:
            merged[str(key)] = below
        elif below is not None:
            problems.append(f"{key}: is {_kind(below)}, not a section: indent its settings below {key}:")
    for section, values in environment.items():
        merged[section] = merged.get(section, {}) | values
    return merged, problems


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
