"""Finds settings that contradict one another, and settings that are unwise."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.settings.model import Settings
    from connector.settings.sections import AuditSettings, KafkaSettings, KisSettings, OauthSettings, RegistrySettings

# The paths concerned, whether the settings break the rule, and the problem. The first path is the
# one to correct.
_Rule = tuple[tuple[str, ...], bool, str]

SELDOM_SECONDS = 60
_PASSWORD = ("sasl_username", "sasl_password_file")
_CLIENT = ("oauth_token_url", "oauth_client_id")
_PROOFS = ("oauth_client_secret_file", "oauth_client_key_file")
_KEYTAB = ("gssapi_principal", "gssapi_keytab_file")
_OF_KEY = ("oauth_client_key_id", "oauth_assertion_audience")
_OAUTH = (
    "oauth_client_id",
    *_PROOFS,
    "oauth_scope",
    "oauth_audience",
    "oauth_ca_file",
    "oauth_extra",
)


def contradictions(settings: Settings, mistaken: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the path and problem of each setting that is valid alone but contradicts another.

    Rules about a setting in `mistaken` are skipped, because its mistake is reported already. Each
    setting has one problem, the first.
    """
    told = set[str]()
    for paths, wrong, problem in _rules(settings):
        if wrong and mistaken.isdisjoint(paths) and paths[0] not in told:
            told.add(paths[0])
            yield paths[0], problem


def _rules(settings: Settings) -> Iterator[_Rule]:
    yield from _kis_rules(settings.kis)
    yield from _audit_rules(settings.audit, settings)
    yield from _sasl_rules(settings.kafka)
    yield from _tls_rules(settings.kafka)
    yield from _registry_rules(settings.registry)
    yield from _topic_rules(settings.topics.names())


def _kis_rules(kis: KisSettings) -> Iterator[_Rule]:
    yield (
        ("kis.approval_url", "kis.allow_cleartext"),
        _is_cleartext(kis.approval_url) and not kis.allow_cleartext,
        "plain http:// would send app key and secret in clear text: use https://, or set kis.allow_cleartext",
    )
    yield _colon_rule("kis.proxy_username", kis.proxy_username)
    for name in ("proxy_username", "proxy_password_file"):
        yield (
            (f"kis.{name}", "kis.proxy_url"),
            getattr(kis, name) is not None and kis.proxy_url is None,
            "has no effect without kis.proxy_url: set kis.proxy_url, or remove this",
        )
    for needed, given in (("proxy_username", "proxy_password_file"), ("proxy_password_file", "proxy_username")):
        yield (
            (f"kis.{needed}", f"kis.{given}"),
            getattr(kis, given) is not None and getattr(kis, needed) is None,
            f"is needed with kis.{given}: set it",
        )
    for low, high in (
        ("reconnect_min_seconds", "reconnect_max_seconds"),
        ("in_use_wait_seconds", "in_use_wait_max_seconds"),
    ):
        least, most = getattr(kis, low), getattr(kis, high)
        yield (
            (f"kis.{low}", f"kis.{high}"),
            least > most,
            f"{least:g} is greater than kis.{high} ({most:g}): lower it or raise the other",
        )


def _colon_rule(path: str, username: str | None) -> _Rule:
    return (path,), ":" in (username or ""), "holds a colon, which ends a user's name in HTTP: correct it"


def _audit_rules(audit: AuditSettings, settings: Settings) -> Iterator[_Rule]:
    yield (
        ("audit.rest_url", "kis.allow_cleartext"),
        _is_cleartext(audit.rest_url) and not settings.kis.allow_cleartext,
        "plain http:// would send app key, secret and token in clear text: use https://, or set kis.allow_cleartext",
    )
    yield (
        ("audit.group_id", "replicas.group_id"),
        audit.group_id == settings.replicas.group_id,
        f"{audit.group_id} is also replicas.group_id: give each group its own name",
    )


def _sasl_rules(kafka: KafkaSettings) -> Iterator[_Rule]:
    sasl, protocol, mechanism = kafka.security_protocol.startswith("SASL"), "kafka.security_protocol", "sasl_mechanism"
    is_msk = kafka.oauth_provider == "msk_iam"
    needed = _needed_for_login(kafka)
    if not sasl or kafka.sasl_mechanism == "OAUTHBEARER":
        yield from _oauth_rules("kafka", kafka)
    for name in (mechanism, *_PASSWORD, *_CLIENT, *_PROOFS, *_KEYTAB):
        given = getattr(kafka, name) is not None
        alternatives = tuple(f"kafka.{each}" for each in _PROOFS if name in _PROOFS)
        yield (
            (f"kafka.{name}", protocol, *alternatives),
            sasl and not given and name in (mechanism, *needed),
            f"is needed with {kafka.security_protocol}: set it",
        )
        yield (
            (f"kafka.{name}", protocol),
            given and not sasl,
            f"has no effect with {kafka.security_protocol}: set {protocol} to SASL_SSL",
        )
        yield (
            (f"kafka.{name}", protocol, "kafka.sasl_mechanism"),
            given and sasl and name not in (mechanism, *needed),
            f"has no effect with {_login_name(kafka)}: remove it, or correct the mechanism",
        )
    yield (
        (protocol, "kafka.sasl_mechanism"),
        kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "PLAIN",
        "PLAIN would send the password in clear text: use SASL_SSL, or a SCRAM mechanism",
    )
    yield (
        (protocol, "kafka.sasl_mechanism"),
        kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "OAUTHBEARER",
        "OAUTHBEARER would send the token in clear text: use SASL_SSL",
    )
    yield (
        ("kafka.oauth_provider", protocol, "kafka.sasl_mechanism"),
        is_msk and kafka.sasl_mechanism != "OAUTHBEARER",
        "has no effect without kafka.sasl_mechanism OAUTHBEARER: set it, or remove this",
    )
    yield (
        ("kafka.oauth_provider",),
        is_msk and find_spec("aws_msk_iam_sasl_signer") is None,
        "msk_iam needs AWS' signer, which is not installed: install kis-bond-connector[msk]",
    )


def _needed_for_login(kafka: KafkaSettings) -> tuple[str, ...]:
    if kafka.sasl_mechanism == "GSSAPI":
        return _KEYTAB
    if kafka.sasl_mechanism != "OAUTHBEARER":
        return _PASSWORD
    return () if kafka.oauth_provider == "msk_iam" else (*_CLIENT, *(_given_proofs(kafka) or _PROOFS[:1]))


def _given_proofs(oauth: OauthSettings) -> tuple[str, ...]:
    return tuple(name for name in _PROOFS if getattr(oauth, name) is not None)


def _login_name(kafka: KafkaSettings) -> str:
    is_msk = kafka.sasl_mechanism == "OAUTHBEARER" and kafka.oauth_provider == "msk_iam"
    return "kafka.oauth_provider msk_iam" if is_msk else f"kafka.sasl_mechanism {kafka.sasl_mechanism}"


def _oauth_rules(section: str, oauth: OauthSettings) -> Iterator[_Rule]:
    url, (secret, key) = f"{section}.oauth_token_url", (f"{section}.{name}" for name in _PROOFS)
    yield (
        (f"{section}.oauth_client_id", url),
        oauth.oauth_token_url is not None and oauth.oauth_client_id is None,
        f"is needed with {url}: set it",
    )
    yield (
        (secret, url, key),
        oauth.oauth_token_url is not None and not _given_proofs(oauth),
        f"is needed with {url}: set it, or {key}",
    )
    yield (
        (key, secret),
        len(_given_proofs(oauth)) > 1,
        f"is a second proof beside {secret}: keep one of them",
    )
    for name in _OF_KEY:
        yield (
            (f"{section}.{name}", key),
            getattr(oauth, name) is not None and oauth.oauth_client_key_file is None,
            f"has no effect without {key}: set {key}, or remove this",
        )
    for name in _OAUTH:
        yield (
            (f"{section}.{name}", url),
            getattr(oauth, name) is not None and oauth.oauth_token_url is None,
            f"has no effect without {url}: set {url}, or remove this",
        )
    yield (
        (url,),
        _is_cleartext(oauth.oauth_token_url or ""),
        "plain http:// would send the client's secret and the token in clear text: use https://",
    )


def _tls_rules(kafka: KafkaSettings) -> Iterator[_Rule]:
    tls, protocol = kafka.security_protocol.endswith("SSL"), "kafka.security_protocol"
    for name in ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file", "ssl_key_password_file"):
        given = getattr(kafka, name) is not None
        yield (
            (f"kafka.{name}", protocol),
            given and not tls,
            f"has no effect with {kafka.security_protocol}: set {protocol} to SSL or SASL_SSL",
        )
    pair = ("kafka.ssl_key_file", "kafka.ssl_certificate_file")
    yield (
        pair,
        kafka.ssl_certificate_file is not None and kafka.ssl_key_file is None,
        "is needed with kafka.ssl_certificate_file: set it",
    )
    yield (
        pair[::-1],
        kafka.ssl_key_file is not None and kafka.ssl_certificate_file is None,
        "is needed with kafka.ssl_key_file: set it",
    )
    key_password = ("kafka.ssl_key_file", "kafka.ssl_key_password_file")
    yield (
        key_password,
        kafka.ssl_key_password_file is not None and kafka.ssl_key_file is None,
        "is needed with its password file: set it",
    )


def _registry_rules(registry: RegistrySettings) -> Iterator[_Rule]:
    yield _colon_rule("registry.username", registry.username)
    user, password = ("registry.username", "registry.password_file"), ("registry.password_file", "registry.username")
    yield (
        user,
        registry.password_file is not None and registry.username is None,
        "is needed with registry.password_file: set it",
    )
    yield (
        password,
        registry.username is not None and registry.password_file is None,
        "is needed with registry.username: set it",
    )

    logins = [
        f"registry.{name}"
        for name in ("username", "token_file", "oauth_token_url")
        if getattr(registry, name) is not None
    ]
    yield (
        tuple(logins[1:] or ("registry.username",)),
        len(logins) > 1,
        f"is a second login beside {(logins or [''])[0]}: keep one of them",
    )
    pair = ("registry.key_file", "registry.certificate_file")
    for needed, given in (pair, pair[::-1]):
        yield (
            (needed, given),
            getattr(registry, given.partition(".")[2]) is not None
            and getattr(registry, needed.partition(".")[2]) is None,
            f"is needed with {given}: set it",
        )
    yield from _oauth_rules("registry", registry)


def _topic_rules(names: dict[str, str]) -> Iterator[_Rule]:
    for index, (topic, name) in enumerate(names.items()):
        earlier = [other for other, taken in list(names.items())[:index] if taken == name]
        if earlier:
            yield (
                (f"topics.{topic}", f"topics.{earlier[0]}"),
                True,
                f"{name} is also topics.{earlier[0]}: give each topic its own name",
            )


def _unwise_kis(kis: KisSettings) -> Iterator[str]:
    if _is_cleartext(kis.websocket_url):
        yield (
            "kis.websocket_url: plain ws://, the only form KIS documents, can be read and forged on the way: "
            "use a private network path"
        )
    if 0 < kis.probe_seconds < SELDOM_SECONDS:
        yield (
            f"kis.probe_seconds: {kis.probe_seconds:g} s is often: KIS blocks clients that register again and again: "
            "use 60 or more, or 0 for never"
        )
    if _is_cleartext(kis.approval_url):
        yield "kis.approval_url: plain http:// shows app key and secret to anyone on the way: use https://"


def unwise(settings: Settings) -> Iterator[str]:
    """Yield what is allowed but unwise, each as "key: problem: what would be better"."""
    kafka, registry = settings.kafka, settings.registry
    yield from _unwise_kis(settings.kis)
    if _is_cleartext(settings.audit.rest_url):
        yield "audit.rest_url: plain http:// shows app key, secret and token to anyone on the way: use https://"
    if settings.audit.backfill and settings.audit.credentials_dir is None:
        yield "audit.backfill: has no effect without app keys for REST: set audit.credentials_dir, or remove this"
    hosts = [broker.rpartition(":")[0].strip("[]") for broker in kafka.bootstrap_servers.split(",")]
    if kafka.security_protocol == "PLAINTEXT" and not all(_is_loopback(host) for host in hosts):
        yield (
            "kafka.security_protocol: PLAINTEXT to another host is neither private nor authenticated: "
            "use SASL_SSL or SSL"
        )
    if kafka.security_protocol == "SASL_PLAINTEXT":
        risk = "the connection open to takeover" if kafka.sasl_mechanism == "GSSAPI" else "a SCRAM password to guessing"
        yield f"kafka.security_protocol: SASL_PLAINTEXT leaves records readable and {risk}: use SASL_SSL"
    if registry.url is None:
        for name in registry.model_dump(exclude_defaults=True):
            yield f"registry.{name}: has no effect without registry.url: set registry.url, or remove this"
    if (registry.username or registry.token_file or registry.oauth_token_url) and any(
        _is_cleartext(url) for url in (registry.url or "").split(",")
    ):
        yield "registry.url: plain http:// shows the password or token to anyone on the way: use https://"


def _is_cleartext(url: str) -> bool:
    """Return whether data sent to this URL leaves this machine without encryption."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "ws"} and not _is_loopback(parts.hostname)


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
