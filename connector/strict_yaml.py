"""Reads a YAML file as JSON values.

Duplicate keys are reported, a time stays text, and every text can be written as UTF-8. No problem
quotes the file, which may hold a secret: each says in which line and column to look.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Never

import yaml

from connector import small_file

if TYPE_CHECKING:
    from pathlib import Path

# An alias counts as everything it stands for: a few lines of aliases to aliases, or of merges,
# would otherwise take all memory.
MAX_VALUES: Final = 300_000
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
# How JSON writes a character above U+FFFF. The YAML parser in C refuses these escapes.
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# What PyYAML quotes from the file: the name of an alias, and the handle of a tag.
_QUOTING = re.compile(r"(found undefined alias|found undefined tag handle|duplicate tag handle) .*", re.DOTALL)


def _refuse_tag(_loader: Any, node: yaml.Node) -> Never:
    raise yaml.constructor.ConstructorError(
        None, None, "this value has no known YAML type; a text that begins with ! needs quotes", node.start_mark
    )


def _strict(parser: Any) -> Any:
    """Return a safe loader that collects duplicate keys; by itself PyYAML lets the last one win."""

    class Strict(parser):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own way
            first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.duplicates: list[str] = []

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - the library's signature
            seen: set[str] = set()
            # A tag such as !!map may stand before any value; PyYAML itself reports that.
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if not isinstance(key, yaml.ScalarNode):
                    continue  # PyYAML itself reports such a key if it is not allowed
                if key.value in seen:
                    where = f"line {key.start_mark.line + 1}, column {key.start_mark.column + 1}"
                    self.duplicates.append(f"{where}: this key appears twice: remove one of the two")
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

    Strict.add_constructor(None, _refuse_tag)
    return Strict


_Loader = _strict(yaml.SafeLoader)
_FastLoader = _strict(yaml.CSafeLoader) if yaml.__with_libyaml__ else _Loader


def read(path: Path | None, name: str, remedy: str, most: int) -> tuple[Any, list[str]]:
    """Return the document of a YAML file, as far as it could be read, and every problem found.

    `path` is None for standard input. Each problem of the file as a whole calls it `name`. `remedy`
    says what to do if the file is missing or has more than `most` bytes. A named pipe is refused,
    because reading it could take for ever.
    """
    place = "standard input" if path is None else path
    try:
        content = small_file.read_stdin(most) if path is None else small_file.read(path, most, may_be_shell_pipe=True)
        document, problems = _parse(content.decode("utf-8-sig"))
        return document, [f"{place}: {problem}" for problem in problems]
    except FileNotFoundError:
        problem = f"{name} was not found: {remedy}"
    except small_file.NotRegular:
        problem = f"{name} is not a regular file: correct its path"
    except small_file.TooLarge as error:
        problem = f"{name} is too large, {error.strerror}: {remedy}"
    except OSError as error:
        problem = f"{name} could not be read ({error.strerror}): correct its path or permissions"
    except UnicodeDecodeError:
        problem = f"{name} is not UTF-8: save it as UTF-8"
    return None, [f"{place}: {problem}"]


def _parse(text: str) -> tuple[Any, list[str]]:
    try:
        loader = _Loader(text) if _SURROGATE_ESCAPE.search(text) else _FastLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None, []
        if problem := _bomb(root):
            return None, [f"{problem}: correct the YAML"]
        return loader.construct_document(root), loader.duplicates
    except RecursionError:
        return None, ["the YAML is nested too deeply: correct it"]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = _QUOTING.sub(r"\1", error.problem or error.context or "broken YAML")
        return None, [f"{where}{problem}: correct the YAML there"]
    except yaml.YAMLError as error:
        return None, [f"{str(error).splitlines()[0]}: correct the YAML there"]


def _bomb(root: yaml.Node) -> str | None:
    """Return why the document must not be unfolded, or None.

    Its aliases are counted before anything is made from them.
    """
    sizes: dict[int, int] = {}
    opened: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting[-1]
        if id(node) in sizes:
            waiting.pop()
            continue
        children = _children(node)
        below = [each for each in children if id(each) not in sizes]
        if not below:
            size = 1 + sum(sizes[id(each)] for each in children)
            if size > MAX_VALUES:
                return f"it holds more than {MAX_VALUES:,} values, each alias counted as what it stands for"
            sizes[id(node)] = size
        elif id(node) in opened:
            return f"line {node.start_mark.line + 1}: an alias stands for a value that contains it"
        else:
            opened.add(id(node))
            waiting += below
    return None


def _children(node: yaml.Node) -> list[yaml.Node]:
    match node:
        case yaml.ScalarNode():
            return []
        case yaml.MappingNode():
            return [part for pair in node.value for part in pair]
        case _:
            return list(node.value)
