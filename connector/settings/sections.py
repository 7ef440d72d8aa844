"""Every setting: name, default, unit and bounds. README and Helm chart repeat the same table."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connector.settings.values import (
    BaseUrl,
    BaseUrls,
    Brokers,
    Host,
    Hosts,
    HttpUrl,
    Parameters,
    PlainHttpUrl,
    ReadableFile,
    SecretFile,
    SigningKeyFile,
    Size,
    Text,
    TopicName,
    WebSocketUrl,
    WholePath,
    plain,
    refuse_shape,
)

if TYPE_CHECKING:
    from pydantic import ValidationInfo

# Less than a hundredth of a second would keep a core busy, or KIS, which blocks clients that ask
# too often. More than a day would outlast the trading day that it is for.
Seconds = Annotated[float, Field(ge=0.01, le=86_400)]


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
    # For approval, REST and WebSocket. `http_proxy` and its like in the environment are not read.
    proxy_url: PlainHttpUrl | None = None
    proxy_username: Text | None = None
    proxy_password_file: SecretFile | None = None


class OauthSettings(_Section):
    """How to get access tokens from an OpenID provider with client credentials (RFC 6749, 4.4)."""

    oauth_token_url: HttpUrl | None = None
    oauth_client_id: Text | None = None
    oauth_client_secret_file: SecretFile | None = None
    oauth_client_key_file: SigningKeyFile | None = None
    oauth_client_key_id: Text | None = None
    oauth_assertion_audience: Text | None = None
    oauth_scope: Text | None = None
    oauth_audience: Text | None = None
    oauth_ca_file: ReadableFile | None = None
    oauth_extra: Parameters | None = None


class KafkaSettings(OauthSettings):
    """How to reach the brokers. Files are PEM."""

    bootstrap_servers: Brokers = "localhost:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = None
    sasl_username: Text | None = None
    sasl_password_file: SecretFile | None = None
    # Who gives the tokens of OAUTHBEARER: an OpenID provider, or AWS for Amazon MSK.
    oauth_provider: Literal["oidc", "msk_iam"] = "oidc"
    gssapi_service_name: Text = "kafka"
    gssapi_principal: Text | None = None
    gssapi_keytab_file: ReadableFile | None = None
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
    adopt_partitions: bool = False

    def names(self) -> dict[str, str]:
        """Return the topics that are used, by the names of their settings."""
        return {part: name for part, name in self if isinstance(name, str)}


class RegistrySettings(OauthSettings):
    """The schema registry. Without a URL, ticks use Avro's single-object encoding."""

    # Several are tried one after the other.
    url: BaseUrls | None = None
    username: Text | None = None
    password_file: SecretFile | None = None
    token_file: SecretFile | None = None
    ca_file: ReadableFile | None = None
    certificate_file: ReadableFile | None = None
    key_file: ReadableFile | None = None
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
    # The longest pause between a healthy broker's answers is half a second: that of an idle fetch.
    stop_silence_seconds: Seconds = 5


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
