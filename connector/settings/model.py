"""Every setting: name, default, unit and bounds. The Helm chart repeats them."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connector.core.printable import printable
from connector.errors import ConfigurationError
from connector.settings.mistakes import bounds_of, explain
from connector.settings.rules import contradictions, unwise
from connector.settings.sources import merge, misnamed, read_environment, read_file, variable_of
from connector.settings.values import (
    BaseUrl,
    Brokers,
    Host,
    Hosts,
    HttpUrl,
    ReadableFile,
    SecretFile,
    Size,
    Text,
    TopicName,
    WebSocketUrl,
    WholePath,
    plain,
    refuse_shape,
    whole_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import ValidationInfo

# Less than a hundredth of a second would keep a core busy, or KIS, which blocks clients that ask
# too often. More than a day would outlast the trading day that it is for.
Seconds = Annotated[float, Field(ge=0.01, le=86_400)]
LONGEST_PROBLEM = 1_000  # characters
_APP_KEY_PATHS = ("kis", "kis.credentials_dir", "kis.appkey", "kis.appsecret")


class _Section(BaseModel):
    """One section. Unknown names are refused and values never change.

    No error shows the input, which may be a secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: object, info: ValidationInfo) -> object:
        """Trim text, treat an empty optional setting as unset, refuse a value of another shape."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, str):
            value = plain(value)
        if field.default is None and (value is None or value == ""):
            return None
        refuse_shape(value, field.annotation)
        return value


class KisSettings(_Section):
    """The addresses of KIS, our app keys, limits and waits. Slot k uses the k-th app key."""

    approval_url: HttpUrl = "https://openapi.koreainvestment.com:9443/oauth2/Approval"
    websocket_url: WebSocketUrl = "ws://ops.koreainvestment.com:21000"
    customer_type: Literal["P", "B"] = "P"
    credentials_dir: WholePath | None = None
    appkey: SecretStr | None = None
    appsecret: SecretStr | None = None
    # All lists together may want 20,000 bonds.
    session_capacity: Annotated[int, Field(ge=1, le=20_000)] = 41
    register_interval_seconds: Seconds = 0.2
    reply_timeout_seconds: Seconds = 5
    silence_timeout_seconds: Seconds = 45
    reconnect_min_seconds: Seconds = 1
    reconnect_max_seconds: Seconds = 60
    in_use_wait_seconds: Seconds = 30
    in_use_wait_max_seconds: Seconds = 600
    slot_lost_seconds: Seconds = 120
    # KIS issues an approval key for 24 hours.
    approval_reuse_hours: Annotated[float, Field(ge=0.0001, le=24)] = 12
    # 0: never.
    probe_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300
    allow_cleartext: bool = False


class KafkaSettings(_Section):
    """How to reach the brokers. Files are PEM."""

    bootstrap_servers: Brokers = "localhost:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: Text | None = None
    sasl_password_file: SecretFile | None = None
    ssl_ca_file: ReadableFile | None = None
    ssl_certificate_file: ReadableFile | None = None
    ssl_key_file: ReadableFile | None = None
    ssl_key_password_file: SecretFile | None = None
    client_id: Text | None = None
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"


class TopicSettings(_Section):
    """The names of the topics."""

    ticks: TopicName = "bond.ticks"
    control: TopicName = "bond.subscriptions"
    status: TopicName = "bond.subscriptions.status"
    events: TopicName = "bond.feed-events"
    dead_letters: TopicName = "bond.ticks.dead-letters"
    slots: TopicName = "bond.slots"
    coverage: TopicName = "bond.coverage"
    latest: TopicName | None = None

    def names(self) -> dict[str, str]:
        """Return the topics that are used, by the names of their settings."""
        return {part: name for part, name in self if name is not None}


class RegistrySettings(_Section):
    """The schema registry. Without a URL, ticks use Avro's single-object encoding."""

    url: BaseUrl | None = None
    username: Text | None = None
    password_file: SecretFile | None = None
    ca_file: ReadableFile | None = None
    schema_id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    auto_register: bool = False


class JournalSettings(_Section):
    """The folder with the log of frames between KIS and Kafka."""

    path: WholePath = Path("kis-bond-data/journal")
    # Less holds no minute of a busy market. Above 2**53 the page's numbers would not be exact.
    max_bytes: Annotated[Size, Field(ge=2**24, le=2**53)] = 2**30
    sync_seconds: Seconds = 0.2
    # Ten years: the journal counts nanoseconds in 63 bits.
    retain_hours: Annotated[float, Field(ge=0, le=87_600)] = 24


class ReplicaSettings(_Section):
    """How several replicas share the app keys."""

    coordination: Literal["standalone", "group"] = "standalone"
    group_id: Text = "kis-bond"
    name: Text = Field(default_factory=socket.gethostname)
    # Heartbeats go out several times in this time, and Kafka counts it in milliseconds of 31 bits.
    session_timeout_seconds: Annotated[float, Field(ge=1, le=86_400)] = 10
    blind_limit_seconds: Seconds | None = None


class DeliverySettings(_Section):
    """How delivery to Kafka ends at a stop."""

    stop_deadline_seconds: Seconds = 20


class AuditSettings(_Section):
    """The auditor, `kis-bond audit`: its group, and what it asks KIS's REST calls."""

    group_id: Text = "kis-bond-audit"
    # A hole is announced once its bounds stood for so long: reordered ticks may still fill it.
    gap_wait_seconds: Annotated[float, Field(ge=0.01, le=3_600)] = 5
    # KIS refuses more than 18 calls a second of one app key.
    rest_per_second: Annotated[float, Field(ge=0.01, le=18)] = 5
    backfill: bool = False
    credentials_dir: WholePath | None = None
    rest_url: BaseUrl = "https://openapi.koreainvestment.com:9443"
    token_path: WholePath = Path("kis-bond-data/token.json")
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8081


class HttpSettings(_Section):
    """Where health, metrics, status and page are served; port 0 means any free port."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    max_connections: Annotated[int, Field(ge=1, le=65_536)] = 64  # a quarter of the descriptors at most
    allowed_hosts: Hosts | None = None

    def url(self, port: int | None = None) -> str:
        """Return the address at which this machine reaches the endpoints, on `port` if given."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port if port is None else port}"


class LogSettings(_Section):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    # auto: console on a terminal, else json
    format: Literal["auto", "console", "json"] = "auto"


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
