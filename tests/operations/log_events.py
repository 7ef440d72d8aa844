"""The log events that the connector's code can write, read from the code itself."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CODE = Path(__file__).parents[2] / "connector"
LEVELS = ("debug", "info", "warning", "error")


def events() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """Return each event's levels, loggers and fields; `write` is the feed's chosen method."""
    found: dict[str, tuple[set[str], set[str], set[str]]] = defaultdict(lambda: (set(), set(), set()))
    for path in sorted(CODE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = [
            _text(call)
            for call in _calls(tree)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "get_logger"
        ]
        for call in _calls(tree):
            if (event := _text(call)) and (levels := _levels(call)):
                for kept, seen in zip(
                    found[event],
                    (levels, set(names), {str(word.arg) for word in call.keywords if word.arg}),
                    strict=True,
                ):
                    kept.update(seen)
    return dict(found)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _text(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _levels(call: ast.Call) -> set[str]:
    match call.func:
        case ast.Attribute(ast.Name("log"), level) if level in LEVELS:
            return {level}
        case ast.Attribute(ast.Name("log"), "exception"):
            return {"error"}
        case ast.Name("write"):
            return {"info", "warning"}
        case _:
            return set()
