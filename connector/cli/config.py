"""`kis-bond config`: every setting, as a file to start from, and as a schema for editors."""

from __future__ import annotations

import json

import typer

from connector.cli.output import print_lines

app = typer.Typer(no_args_is_help=True, help="Show every setting, with default and meaning.")


@app.command(epilog="Example: kis-bond config example > kis-bond.yaml")
def example() -> None:
    """Print a settings file with every setting, its default and its meaning."""
    # Imported only here, so that `--help` need not make a schema.
    from connector.settings.reference import example as text

    print_lines(text().rstrip())


@app.command(epilog="Example: kis-bond config schema > kis-bond.schema.json")
def schema() -> None:
    """Print the JSON Schema of the settings file. Editors complete and check names with it.

    An editor with the YAML language server takes it from the file's first line:
    `# yaml-language-server: $schema=kis-bond.schema.json`
    """
    from connector.settings.reference import json_schema

    print_lines(json.dumps(json_schema(), indent=2, ensure_ascii=False))
