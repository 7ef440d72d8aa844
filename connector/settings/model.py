"""All settings together, read from a file and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connector.core.printable import printable
from connector.errors import ConfigurationError
from connector.settings.mistakes import bounds_of, explain
from connector.settings.rules import contradictions, unwise
from connector.settings.sections import (
    AuditSettings,
    DeliverySettings,
    HttpSettings,
    JournalSettings,
    KafkaSettings,
    KisSettings,
    LogSettings,
    RegistrySettings,
    ReplicaSettings,
    TopicSettings,
)
from connector.settings.sources import merge, misnamed, read_environment, read_file, variable_of
from connector.settings.values import plain, whole_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LONGEST_PROBLEM = 1_000  # characters
_APP_KEY_PATHS = ("kis", "kis.credentials_dir", "kis.appkey", "kis.appsecret")


class Settings(BaseSettings):
    """All settings. Use `load` to get them."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kis: KisSettings = KisSettings()
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    registry: RegistrySettings = RegistrySettings()
    journal: JournalSettings = JournalSettings()
    replicas: ReplicaSettings = Field(default_factory=ReplicaSettings)
    delivery: DeliverySettings = DeliverySettings()
    audit: AuditSettings = AuditSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use only what `load` read: the library would ignore unknown names in the environment."""
        return (init_settings,)

    @property
    def kafka_client_id(self) -> str:
        """The client id that brokers see: `kafka.client_id`, else the replica's name."""
        return self.kafka.client_id or self.replicas.name

    def redacted(self) -> dict[str, Any]:
        """Return every effective setting as JSON values, with secrets hidden."""
        tree: dict[str, Any] = self.model_dump(mode="json")
        for name in ("appkey", "appsecret"):
            tree["kis"][name] = None if tree["kis"][name] is None else "********"
        return tree

    def warnings(self) -> list[str]:
        """Return what is allowed but unwise, each as "key: problem: what would be better"."""
        return list(unwise(self))


def load(
    config: Path | None,
    environ: Mapping[str, str] | None = None,
    file_problems: Callable[[Settings], Iterable[str]] = lambda _: (),
    app_key_problems: Callable[[Settings], Iterable[str]] = lambda _: (),
) -> Settings:
    """Read the settings from a YAML file and from the environment, which overrides the file.

    The file is `config`, or else the file that KIS_BOND_CONFIG names, or else none. Raises
    ConfigurationError with all mistakes at once, among them the `file_problems`. If there is any,
    the error also contains `app_key_problems`. If only the app keys have problems, the caller
    reports them.
    """
    environ = os.environ if environ is None else environ
    file, problems = _read_named(config, environ)
    is_readable = bool(file) or not problems
    misnamed_variables = misnamed(environ, _NAMES)
    problems += misnamed_variables.values()
    environment = read_environment(
        {name: value for name, value in environ.items() if name not in misnamed_variables}, Settings.model_fields
    )
    tree, misshapen = merge(file, environment, Settings.model_fields)
    variables = {
        path: variable_of(path)
        for path in (f"{section}.{name}" for section, values in environment.items() for name in values)
    }
    for section in environment.keys() - file.keys():
        variables[section] = ", ".join(variable_of(f"{section}.{name}") for name in environment[section])
    settings, mistakes = _build(tree)
    problems += misshapen
    for path, problem in [*mistakes, *contradictions(settings, {path for path, _ in mistakes})]:
        problems.append(f"{path} ({variables[path]}): {problem}" if path in variables else f"{path}: {problem}")
    problems += file_problems(settings)
    if problems:
        if is_readable and not any(path in _APP_KEY_PATHS for path, _ in mistakes):
            problems += app_key_problems(settings)
        raise ConfigurationError([_shown(problem) for problem in problems])
    return settings


def _shown(problem: str) -> str:
    """Return a problem as one line: the file may hold any name and any value."""
    line = printable(problem)
    return line if len(line) <= LONGEST_PROBLEM else f"{line[:LONGEST_PROBLEM]}… (cut)"


def _read_named(config: Path | None, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    named, source = (str(config), "--config") if config else (environ.get("KIS_BOND_CONFIG", ""), "KIS_BOND_CONFIG")
    try:
        return read_file(Path(str(whole_path(named)))) if (named := plain(named)) else ({}, [])
    except ValueError as error:
        return {}, [f"{source}: {error}"]


def _build(tree: dict[str, Any]) -> tuple[Settings, list[tuple[str, str]]]:
    """Return the settings, and the mistakes by path.

    A mistaken setting gets its default, so that the others can still be checked.
    """
    try:
        return Settings(**tree), []
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
    mistakes: dict[str, str] = {}
    for error in errors:
        section, name = [*map(str, error["loc"]), ""][:2]
        bounds = bounds_of(_annotation(section, name))
        mistakes.setdefault(f"{section}.{name}".rstrip("."), explain(error, _NAMES, bounds))
        if section in _NAMES:
            tree[section].pop(name, None)
        else:
            tree.pop(section, None)
    return Settings(**tree), list(mistakes.items())


def _annotation(section: str, name: str) -> object:
    fields = getattr(Settings.model_fields[section].annotation, "model_fields", {}) if section in _NAMES else {}
    return fields[name].rebuild_annotation() if name in fields else None


_NAMES = {
    section: list(getattr(field.annotation, "model_fields", ())) for section, field in Settings.model_fields.items()
}
