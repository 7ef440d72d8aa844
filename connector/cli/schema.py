"""`kis-bond schema`: show the schemas, check them, register them, and print table definitions."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from connector import small_file
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, print_lines, say, short
from connector.errors import ConfigurationError, NotInTime, RequestMalformed
from connector.packaged_files import bond_tick, released_schemas, schema_text

if TYPE_CHECKING:
    from connector.cli.subject import Subject
    from connector.core.ticks.table_definition import Writer
    from connector.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The schemas of the topics' records.")

MOST_BYTES: Final = 2**20
SCHEMAS: Final = {
    "tick": "bond_tick.avsc",
    "control": "control.schema.json",
    "status_instrument": "status_instrument.schema.json",
    "status_list": "status_list.schema.json",
    "status_slot": "status_slot.schema.json",
    "event": "event.schema.json",
    "coverage": "coverage.schema.json",
    "asyncapi": "asyncapi.yaml",
}


@app.command(epilog="Examples: kis-bond schema show > bond_tick.avsc | kis-bond schema show --released 1.0.0")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(SCHEMAS)}.")] = "tick",
    *,
    released: Annotated[
        str | None, typer.Option("--released", metavar="VERSION", help="The tick schema of this released version.")
    ] = None,
) -> None:
    """Print a schema: Avro for ticks, JSON Schema for other records, AsyncAPI for all."""
    if name not in SCHEMAS:
        raise RequestMalformed(f"There is no schema {short(name, 40)!a}. There are {', '.join(SCHEMAS)}.")
    if released is None:
        text = schema_text(SCHEMAS[name])
    else:
        kept = released_schemas()
        if name != "tick" or released not in kept:
            raise RequestMalformed(f"No schema of ticks was released as {short(released, 40)!a}: {', '.join(kept)}.")
        text = kept[released]
    print_lines(text.rstrip("\n"))


@app.command(epilog="Example: kis-bond schema check --config kis-bond.yaml && kis-bond schema register")
def check(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Another schema to check. Default: this version's.")
    ] = None,
    *,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Check that readers of every released schema can read ticks, and the reverse.

    Without a FILE and with registry.url, the registry's subject is checked too.
    An incompatibility ends with 5.
    """
    settings = load_settings(context, config)
    # Imported only here, so that `--help` need not load Apache's Avro.
    from connector.core.ticks.compatibility import incompatibilities

    schema = bond_tick() if file is None else _read(file)
    found = {version: incompatibilities(schema, text) for version, text in released_schemas().items()}
    subject = _look(settings) if file is None and settings.registry.url is not None else None
    if as_json:
        print_json({"released": found, "subject": None if subject is None else _as_json(subject)})
    else:
        for version in (each for each, problems in found.items() if not problems):
            say(f"Compatible with released schema {version} in both directions.")
        if subject is not None and not subject.drift:
            say(f"Compatible with every version of {subject.name}, which holds it under id {subject.schema_id}.")
        if subject is not None:
            _say_level(subject)
    problems = [
        f"Not compatible with released schema {version}: {problem}."
        for version, texts in found.items()
        for problem in texts
    ]
    problems += [f"{subject.name} {problem}." for problem in subject.drift] if subject else []
    if problems:
        raise NotInTime("\n".join(problems))


@app.command(epilog="Example: kis-bond schema register --compatibility FULL_TRANSITIVE")
def register(
    context: typer.Context,
    *,
    compatibility: Annotated[
        str | None,
        typer.Option("--compatibility", metavar="LEVEL", help="Set the subject's level. Recommended: FULL_TRANSITIVE."),
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Register the schema of ticks in the registry, if it fits every version there.

    The subject's compatibility level is set only if one is given.
    """
    # Imported only here, so that `--help` need not load the registry's client.
    from connector.cli import subject
    from connector.shell.registry_subject import LEVELS

    if compatibility is not None and compatibility not in LEVELS:
        raise RequestMalformed(f"--compatibility {short(compatibility, 40)!a} is none of {', '.join(LEVELS)}.")
    settings = load_settings(context, config)
    if settings.registry.url is None:
        raise ConfigurationError(["registry.url: is needed to register a schema: set it"])
    found = asyncio.run(subject.register(settings, compatibility))
    if as_json:
        print_json(_as_json(found))
        return
    say(f"The schema of {found.name} is registered under id {found.schema_id}.")
    _say_level(found)


@app.command(epilog="Example: kis-bond schema ddl --for flink > bond_ticks.sql")
def ddl(
    context: typer.Context,
    *,
    engine: Annotated[
        str, typer.Option("--for", metavar="ENGINE", help="flink, spark, clickhouse or duckdb.", show_default=False)
    ],
    config: Config = None,
) -> None:
    """Print the table of ticks for a query engine, and a view of it with English names.

    Topic, brokers and registry are those of the settings.
    """
    # Imported only here, so that `--help` need not load what encodes ticks.
    from connector.core.ticks.avro import TickSchema
    from connector.core.ticks.table_definition import ENGINES, Reach, table_definition

    if engine not in ENGINES:
        raise RequestMalformed(f"--for {short(engine, 40)!a} is none of {', '.join(ENGINES)}.")
    settings = load_settings(context, config)
    # Of the engines, only Spark does not ask the registry itself.
    writers = _writers(settings) if engine == "spark" else []
    reach = Reach(settings.topics.ticks, settings.kafka.bootstrap_servers, settings.registry.url, writers)
    text = table_definition(engine, TickSchema(bond_tick()), reach)
    print_lines(text.rstrip("\n"))


def _writers(settings: Settings) -> list[Writer]:
    """Return the schemas that may have written ticks: those of the registry, and released ones.

    Raises NotInTime if the registry has none, or one whose ticks we cannot read.
    """
    from connector.core.ticks.avro import TickSchema, registry_prefix
    from connector.core.ticks.table_definition import Writer

    in_registry = list[Writer]()
    if settings.registry.url is not None:
        found = _look(settings)
        if found.incompatible or not found.versions:
            raise NotInTime("\n".join(f"{found.name} {problem}." for problem in found.drift))
        in_registry = [Writer(registry_prefix(each.schema_id), each.schema) for each in found.versions]
    # Without a registry, and before one was set, ticks name their schemas by fingerprints.
    ours = {TickSchema(text).single_object_prefix: text for text in (*released_schemas().values(), bond_tick())}
    return [*in_registry, *(Writer(prefix, text) for prefix, text in ours.items())]


def _read(file: Path) -> str:
    try:
        return small_file.read(file, MOST_BYTES, may_be_shell_pipe=True).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestMalformed(
            f"{file} could not be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."
        ) from None


def _look(settings: Settings) -> Subject:
    from connector.cli import subject

    return asyncio.run(subject.look(settings))


def _say_level(subject: Subject) -> None:
    say(f"Its compatibility level is {subject.level}.")
    for warning in subject.warnings:
        say(f"Warning: {warning}.")


def _as_json(subject: Subject) -> dict[str, Any]:
    return {
        "subject": subject.name,
        "schema_id": subject.schema_id,
        "level": subject.level,
        "versions": [each.number for each in subject.versions],
        "drift": subject.drift,
        "warnings": subject.warnings,
    }
