"""The command `kis-bond`: its subcommands, and the exit code each ends with."""

from __future__ import annotations

import os
import re
import sys
import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from connector.cli import (
    audit,
    bonds,
    check,
    config,
    coverage,
    demo,
    dlq,
    journal,
    record,
    replay,
    run,
    schema,
    simulate,
    status,
    subs,
    tail,
    topics,
)
from connector.cli.options import Config  # noqa: TC001 - typer reads annotations at run time
from connector.cli.output import (
    OutputFailed,
    ReaderGone,
    guarded_streams,
    say,
    say_lines,
    silence_logs,
)
from connector.core.url_secrets import without_url_secrets
from connector.errors import ConnectorError
from connector.logs import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
# The variables that tell a terminal's size, and the least each may say: in fewer columns, rich
# would fold sentences to letters.
_SIZES = {"COLUMNS": 40, "TERMINAL_WIDTH": 40, "LINES": 1}
# The variables with which typer and rich would colour a pipe too, as CI systems set them.
_COLOURS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def _say_failure(text: str) -> None:
    say_lines(without_url_secrets(clean(text)), err=True)


class ExitCodeGroup(TyperGroup):
    """Turns the exception that stopped a command into its exit code and a message on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command named on the command line."""
        try:
            return super().invoke(ctx)
        except ReaderGone:
            raise typer.Exit(0) from None
        except ConnectorError as error:
            _say_failure(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception:  # noqa: BLE001 - any bug ends the command with exit code 1
            _say_failure(traceback.format_exc())
            raise typer.Exit(ConnectorError.exit_code) from None


app = typer.Typer(
    name="kis-bond",
    cls=ExitCodeGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try **kis-bond demo** first: it needs neither KIS nor Kafka. "
    "Settings come from a YAML file (--config) and from the environment, such as KIS_BOND_KAFKA__BOOTSTRAP_SERVERS.",
)


def _print_version(value: bool) -> None:
    if value:
        say(f"kis-bond {version('kis-bond-connector')}")
        raise typer.Exit


@app.callback()
def kis_bond(
    *,
    config: Config = None,  # noqa: ARG001 - read by typer or through the context
    shown: Annotated[  # noqa: ARG001 - read by typer or through the context
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Korean bond ticks from Korea Investment & Securities, as Avro records in Kafka."""
    silence_logs()


app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.command("status", epilog=status.STATUS_EXAMPLES)(status.status)
app.command("top", epilog=status.TOP_EXAMPLES)(status.top)
app.command("tail", epilog=tail.EXAMPLES)(tail.tail)
app.command("coverage", epilog=coverage.EXAMPLES)(coverage.coverage)
app.command("record", epilog=record.EXAMPLES)(record.record)
app.command("replay", epilog=replay.EXAMPLES)(replay.replay)
app.add_typer(topics.app, name="topics")
app.add_typer(subs.app, name="subs")
app.add_typer(bonds.app, name="bonds")
app.add_typer(journal.app, name="journal")
app.add_typer(dlq.app, name="dlq")
app.add_typer(schema.app, name="schema")
app.add_typer(config.app, name="config")


def _forget_odd_sizes() -> None:
    """Remove sizes of a terminal that no terminal has: the libraries that read them would fail."""
    for name, least in _SIZES.items():
        size = os.environ.get(name, "")
        if not (re.fullmatch("[0-9]{1,4}", size) and least <= int(size)):
            os.environ.pop(name, None)


def _colour_terminals_only() -> None:
    """Remove the demands for colours, so that usage errors and help are plain text in a pipe."""
    for name in _COLOURS:
        os.environ.pop(name, None)


def _takes(parameter: TyperArgument | TyperOption, ctx: Any) -> str | None:
    """Return what the help says that a parameter takes; names of flags and arguments say it."""
    if parameter.type_descriptor.is_choice:
        return parameter.display_type(ctx)
    return parameter.metavar if isinstance(parameter, TyperOption) else None


def _simplify_help() -> None:
    """Keep Python's types and the ranges of numbers out of the help: who errs is told."""
    # Imported only here, because it reads the variables of colours as it is imported.
    from typer import rich_utils

    rich_utils.RANGE_STRING = ""
    # typer has no setting for it; its version is pinned.
    TyperArgument.display_type_rich = TyperOption.display_type_rich = _takes  # type: ignore[assignment,method-assign]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    _forget_odd_sizes()
    _colour_terminals_only()
    _simplify_help()
    with guarded_streams():
        try:
            app(arguments)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except ReaderGone:
            sys.exit(0)
        except OutputFailed as error:  # help and version are printed before a command is invoked
            _say_failure(str(error))
            sys.exit(error.exit_code)
