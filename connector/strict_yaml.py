"""Reads a YAML file as JSON values.

Duplicate keys are reported, a time stays text, and every text can be written as UTF-8.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES: Final = 16 * 2**20
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _StrictLoader(yaml.SafeLoader):
    """A safe YAML loader that collects duplicate keys; PyYAML alone would let the last one win."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the library's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # PyYAML itself reports such a key if it is not allowed
            if key.value in seen:
                where = f"line {key.start_mark.line + 1}, column {key.start_mark.column + 1}"
                self.duplicates.append(f"{where}: {key.value} appears twice: remove one of the two")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        text = super().construct_scalar(node)
        try:
            # JSON writes a character above U+FFFF as two escapes, which PyYAML does not join.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise yaml.constructor.ConstructorError(
                None, None, "half a surrogate pair is not a character", node.start_mark
            ) from None

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - the library's signature
        try:
            return super().construct_object(node, deep)
        # PyYAML's parsers of numbers and tags raise these. Their messages might show a secret.
        except (ValueError, LookupError, AttributeError, TypeError):
            raise yaml.constructor.ConstructorError(
                None, None, "this value cannot be read as its YAML type", node.start_mark
            ) from None


def read(path: Path, name: str, remedy: str) -> tuple[Any, list[str]]:
    """Return the document of a YAML file, as far as it could be read, and every problem found.

    Each problem of the file as a whole calls it `name`. `remedy` says what to do if the file is
    missing or too large. A named pipe is refused, because opening it could wait for ever.
    """
    try:
        # The pipe of a shell, at /dev/stdin or from <(...), leads to no path, and is read.
        if Path(os.path.realpath(path)).is_fifo():
            return None, [f"{path}: {name} is not a regular file: correct its path"]
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return None, [f"{path}: {name} has more than {MAX_BYTES} bytes: {remedy}"]
        loader = _StrictLoader(content.decode("utf-8-sig"))
        return loader.get_single_data(), [f"{path}: {problem}" for problem in loader.duplicates]
    except FileNotFoundError:
        problem = f"{name} was not found: {remedy}"
    except OSError as error:
        problem = f"{name} could not be read ({error.strerror}): correct its path or permissions"
    except UnicodeDecodeError:
        problem = f"{name} is not UTF-8: save it as UTF-8"
    except RecursionError:
        problem = "the YAML is nested too deeply: correct it"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = f"{where}{error.problem or error.context or 'broken YAML'}: correct the YAML there"
    except yaml.YAMLError as error:
        problem = f"{str(error).splitlines()[0]}: correct the YAML there"
    return None, [f"{path}: {problem}"]
