"""Settings as a whole: defaults, sources, all mistakes at once, redaction."""

import json
import socket
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from connector.errors import ConfigurationError
from connector.settings import HttpSettings, KisSettings, Settings, load
from connector.settings.mistakes import bounds_of
from connector.settings.sources import variable_of

# The settings and their defaults are part of the public contract.
DEFAULTS = {
    "kis.approval_url": "https://openapi.koreainvestment.com:9443/oauth2/Approval",
    "kis.websocket_url": "ws://ops.koreainvestment.com:21000",
    "kis.customer_type": "P",
    "kis.credentials_dir": None,
    "kis.appkey": None,
    "kis.appsecret": None,
    "kis.session_capacity": 41,
    "kis.register_interval_seconds": 0.2,
    "kis.reply_timeout_seconds": 5,
    "kis.silence_timeout_seconds": 45,
    "kis.probe_seconds": 300,
    "kis.slot_lost_seconds": 120,
    "kis.reconnect_min_seconds": 1,
    "kis.reconnect_max_seconds": 60,
    "kis.in_use_wait_seconds": 30,
    "kis.in_use_wait_max_seconds": 600,
    "kis.approval_reuse_hours": 12,
    "kis.allow_cleartext": False,
    "kis.proxy_url": None,
    "kis.proxy_username": None,
    "kis.proxy_password_file": None,
    "kafka.bootstrap_servers": "localhost:9092",
    "kafka.security_protocol": "PLAINTEXT",
    "kafka.sasl_mechanism": None,
    "kafka.sasl_username": None,
    "kafka.sasl_password_file": None,
    "kafka.oauth_provider": "oidc",
    "kafka.gssapi_service_name": "kafka",
    "kafka.gssapi_principal": None,
    "kafka.gssapi_keytab_file": None,
    "kafka.ssl_ca_file": None,
    "kafka.ssl_certificate_file": None,
    "kafka.ssl_key_file": None,
    "kafka.ssl_key_password_file": None,
    "kafka.client_id": None,
    "kafka.compression": "zstd",
    "topics.ticks": "bond.ticks",
    "topics.control": "bond.subscriptions",
    "topics.status": "bond.subscriptions.status",
    "topics.events": "bond.feed-events",
    "topics.dead_letters": "bond.ticks.dead-letters",
    "topics.slots": "bond.slots",
    "topics.coverage": "bond.coverage",
    "topics.latest": None,
    "topics.adopt_partitions": False,
    "registry.url": None,
    "registry.username": None,
    "registry.password_file": None,
    "registry.token_file": None,
    "registry.ca_file": None,
    "registry.certificate_file": None,
    "registry.key_file": None,
    "registry.schema_id": None,
    "registry.auto_register": False,
    **{
        f"{section}.oauth_{name}": None
        for section in ("kafka", "registry")
        for name in (
            *("token_url", "client_id", "client_secret_file", "client_key_file", "client_key_id"),
            *("assertion_audience", "scope", "audience", "ca_file", "extra"),
        )
    },
    "journal.path": Path("kis-bond-data/journal"),
    "journal.max_bytes": 2**30,
    "journal.sync_seconds": 0.2,
    "journal.retain_hours": 24,
    "replicas.coordination": "standalone",
    "replicas.group_id": "kis-bond",
    "replicas.session_timeout_seconds": 10,
    "replicas.blind_limit_seconds": None,
    "delivery.stop_deadline_seconds": 20,
    "delivery.stop_silence_seconds": 5,
    "audit.group_id": "kis-bond-audit",
    "audit.gap_wait_seconds": 5,
    "audit.rest_per_second": 5,
    "audit.backfill": False,
    "audit.credentials_dir": None,
    "audit.rest_url": "https://openapi.koreainvestment.com:9443",
    "audit.token_path": Path("kis-bond-data/token.json"),
    "audit.http_port": 8081,
    "http.host": "127.0.0.1",
    "http.port": 8080,
    "http.max_connections": 64,
    "http.allowed_hosts": None,
    "log.level": "info",
    "log.format": "auto",
}


def _inner(annotation):
    return [kind for part in get_args(annotation) for kind in get_args(part)]


def leaves(settings):
    """Return every setting by its path."""
    return {f"{section}.{name}": value for section, model in settings for name, value in model}


def problems(environ, config=None):
    """Return the problems for which the settings are refused."""
    with pytest.raises(ConfigurationError) as refused:
        load(config, environ)
    return list(refused.value.problems)


def test_defaults():
    """Without file and variables, the settings are exactly these, with these defaults."""
    assert leaves(load(None, {})) == DEFAULTS | {"replicas.name": socket.gethostname()}


def test_a_topic_without_a_name_is_not_used():
    """The names of the topics leave out the topic of latest values until it has a name."""
    assert "latest" not in load(None, {}).topics.names()
    assert load(None, {"KIS_BOND_TOPICS__LATEST": ""}).topics.latest is None
    assert load(None, {"KIS_BOND_TOPICS__LATEST": "x"}).topics.names() == load(None, {}).topics.names() | {
        "latest": "x"
    }
    assert problems({"KIS_BOND_TOPICS__LATEST": "bond.ticks"}) == [
        "topics.latest (KIS_BOND_TOPICS__LATEST): bond.ticks is also topics.ticks: give each topic its own name"
    ]


def test_client_id_is_the_replicas_name_unless_set():
    """Brokers see kafka.client_id if set, else the replica's name."""
    assert load(None, {"KIS_BOND_REPLICAS__NAME": "a"}).kafka_client_id == "a"
    assert load(None, {"KIS_BOND_REPLICAS__NAME": "a", "KIS_BOND_KAFKA__CLIENT_ID": "b"}).kafka_client_id == "b"


def test_environment_wins_over_the_file(tmp_path):
    """A variable overrides the file's value, but not the section's other values."""
    config = tmp_path / "c.yaml"
    config.write_text("http: {port: 1, host: 0.0.0.0}\nlog:\n")
    settings = load(config, {"KIS_BOND_HTTP__PORT": "2"})
    assert (settings.http.port, settings.http.host) == (2, "0.0.0.0")


def test_file_named_by_the_environment(tmp_path):
    """KIS_BOND_CONFIG names the file unless --config does."""
    for name, port in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(f"http: {{port: {port}}}")
    environ = {"KIS_BOND_CONFIG": str(tmp_path / "a")}
    assert load(None, environ).http.port == 1
    assert load(tmp_path / "b", environ).http.port == 2


def test_all_mistakes_are_reported_at_once(tmp_path):
    """One error reports the mistakes of file, environment and combinations, each once."""
    config = tmp_path / "c.yaml"
    config.write_text(
        "kiss: {}\n"
        "kafka: {bootstrap_server: 'a:1', security_protocol: SASL_PLAINTEXT, sasl_mechanism: PLAIN, sasl_username: u}\n"
        "kis: {reconnect_min_seconds: 70, customer_type: C}\n"
        "http: 5\n"
        "log: {level: info, level: debug}\n"
    )
    found = problems({"KIS_BOND_HTTP__PORT": "99999", "KIS_BOND_LOGS__LEVEL": "x"}, config)
    for expected in (
        "line 5, column 20: this key appears twice",
        "http: is a number, not a section: ",
        "kiss: is not a setting: did you mean kis?",
        "kafka.bootstrap_server: is not a setting: did you mean kafka.bootstrap_servers?",
        "kis.customer_type: is not an allowed value: give 'P' or 'B'",
        "http.port (KIS_BOND_HTTP__PORT): is out of range: give a number from 0 to 65535",
        "logs (KIS_BOND_LOGS__LEVEL): is not a setting: did you mean log?",
        "kis.reconnect_min_seconds: 70 is greater than kis.reconnect_max_seconds (60): ",
        "kafka.security_protocol: PLAIN would send the password in clear text: ",
        "kafka.sasl_password_file: is needed with SASL_PLAINTEXT: ",
    ):
        assert sum(expected in problem for problem in found) == 1, (expected, found)
    assert len(found) == 10


def test_a_mistaken_value_causes_no_second_mistake():
    """A rule about two settings is skipped if one of them is mistaken."""
    found = problems({"KIS_BOND_KIS__RECONNECT_MIN_SECONDS": "90", "KIS_BOND_KIS__RECONNECT_MAX_SECONDS": "x"})
    (problem,) = found
    assert problem.startswith("kis.reconnect_max_seconds (KIS_BOND_KIS__RECONNECT_MAX_SECONDS): is not a number: ")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("KIS__SESSION_CAPACITY", "0", "from 1 to 20000"),
        ("KIS__SESSION_CAPACITY", "1.5", "is not a whole number"),
        ("KIS__SILENCE_TIMEOUT_SECONDS", "-1", "from 0.01 to 86400"),
        ("KIS__SILENCE_TIMEOUT_SECONDS", "nan", "is not a number"),
        ("KIS__REPLY_TIMEOUT_SECONDS", "inf", "is not a number"),
        ("KIS__APPROVAL_REUSE_HOURS", "25", "from 0.0001 to 24"),
        ("KIS__WEBSOCKET_URL", "http://x", "ws:// or wss://"),
        ("KIS__APPROVAL_URL", "ws://x", "http:// or https://"),
        ("KAFKA__BOOTSTRAP_SERVERS", "", "is not a broker address"),
        ("KAFKA__SECURITY_PROTOCOL", "TLS", "'SASL_PLAINTEXT'"),
        ("KAFKA__COMPRESSION", "zip", "'zstd'"),
        ("TOPICS__TICKS", "bond ticks", "is not a topic name"),
        ("REGISTRY__SCHEMA_ID", "-1", "from 0 to 2147483647"),
        ("REGISTRY__AUTO_REGISTER", "maybe", "neither true nor false"),
        ("JOURNAL__MAX_BYTES", "1GB", "is not a size"),
        ("JOURNAL__MAX_BYTES", "0", "from 16MiB to 8192TiB"),
        ("JOURNAL__MAX_BYTES", "16777215", "from 16MiB"),
        ("JOURNAL__SYNC_SECONDS", "0", "from 0.01 to 86400"),
        ("JOURNAL__RETAIN_HOURS", "-1", "from 0 to 87600"),
        ("REPLICAS__COORDINATION", "zookeeper", "'standalone' or 'group'"),
        ("HTTP__PORT", "70000", "from 0 to 65535"),
        ("HTTP__PORT", "", "is empty"),
        ("LOG__LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG__FORMAT", "xml", "'auto', 'console' or 'json'"),
        ("KAFKA__BOOTSTRAP_SERVER", "a:1", "did you mean kafka.bootstrap_servers?"),
        ("HTTP__PORT__NUMBER", "1", "is not a setting"),
    ],
)
def test_each_mistake_says_what_to_do(variable, value, expected):
    """A mistaken variable is one problem: path and variable, what is wrong, what to do."""
    (problem,) = problems({f"KIS_BOND_{variable}": value})
    path, wrong, remedy = problem.split(": ", 2)
    assert f"(KIS_BOND_{variable})" in path
    assert expected in problem
    assert wrong
    assert remedy


NUMBERS = {
    f"{section}.{name}": bounds_of(field.rebuild_annotation())
    for section, part in Settings.model_fields.items()
    for name, field in getattr(part.annotation, "model_fields", {}).items()
    if any(kind in (int, float) for kind in (field.annotation, *get_args(field.annotation), *_inner(field.annotation)))
}


def test_every_number_has_bounds():
    """No setting takes a number however large or small; both bounds are allowed themselves."""
    assert len(NUMBERS) > 15
    assert [path for path, bounds in NUMBERS.items() if bounds is None] == []
    for bound in (0, 1):
        environ = {variable_of(path): str(bounds[bound]) for path, bounds in NUMBERS.items()}
        assert {path: float(leaves(load(None, environ))[path]) for path in NUMBERS} == {
            path: float(bounds[bound]) for path, bounds in NUMBERS.items()
        }


BEYOND = ("inf", "-inf", "nan", "1e300", "-1e300", "-1", "1" + "0" * 400, "9" * 5000, "1e-300")


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path in NUMBERS for value in BEYOND if value != "1e-300" or NUMBERS[path][0] > 0],
)
def test_a_number_out_of_bounds_names_the_setting_and_the_bounds(tmp_path, path, value):
    """No number, in the environment or in the file, gets past the bounds of its setting."""
    least, most = NUMBERS[path]
    (problem,) = problems({variable_of(path): value})
    assert problem.startswith(f"{path} ({variable_of(path)}): ")
    if path != "journal.max_bytes":
        assert f"give a number from {least:.15g} to {most:.15g}" in problem
    section, _, name = path.partition(".")
    (config := tmp_path / "c.yaml").write_text(
        f"{section}: {{{name}: {value.replace('inf', '.inf').replace('nan', '.nan')}}}"
    )
    assert problems({}, config)


def test_an_empty_optional_variable_counts_as_unset():
    """Compose files pass unset variables as empty ones."""
    assert load(None, {"KIS_BOND_REGISTRY__URL": "", "KIS_BOND_KIS__APPKEY": ""}).registry.url is None


@pytest.mark.parametrize("edge", [" ", "\r", "\n", "\r\n", "\ufeff", "\t", "\u00a0", "\u200b"])
def test_what_surrounds_a_value_is_trimmed(tmp_path, edge):
    """Blanks, line ends and byte order marks around a value are not part of it."""
    (tmp_path / "password").write_text("canary")
    environ = {
        "KIS__APPROVAL_URL": "https://h/x",
        "KIS__CREDENTIALS_DIR": str(tmp_path),
        "KAFKA__BOOTSTRAP_SERVERS": "a:1",
        "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__SASL_MECHANISM": "PLAIN",
        "KAFKA__SASL_USERNAME": "u",
        "KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password"),
        "TOPICS__TICKS": "t",
        "JOURNAL__PATH": "journal",
        "JOURNAL__MAX_BYTES": "1GiB",
        "REGISTRY__AUTO_REGISTER": "true",
        "REGISTRY__URL": "http://h",
        "REPLICAS__NAME": "n",
        "HTTP__PORT": "1",
        "LOG__LEVEL": "info",
    }
    surrounded = load(None, {f"KIS_BOND_{name}": f"{edge}{value}{edge}" for name, value in environ.items()})
    assert surrounded == load(None, {f"KIS_BOND_{name}": value for name, value in environ.items()})
    assert surrounded.journal.path == Path("journal")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("JOURNAL__PATH", "a\rb", "holds U+000D, which cannot be seen: remove it"),
        ("JOURNAL__PATH", "", "is empty: give a path"),
        ("JOURNAL__PATH", "$HOME/journal", "holds a variable"),
        ("KIS__CREDENTIALS_DIR", "/etc/${NAME}", "holds a variable"),
        ("JOURNAL__PATH", "~nobody-of-this-name/x", "unknown user"),
        ("KAFKA__SASL_USERNAME", "a\u202eb", "holds U+202E"),
        ("REPLICAS__NAME", "${HOSTNAME}", "holds a variable"),
        ("REPLICAS__NAME", "$(POD_NAME)", "holds a variable"),
        ("KIS__APPSECRET", "${canary}", "holds a variable"),
        ("REPLICAS__NAME", "a\x1bb", "holds U+001B"),
        ("KIS__APPKEY", "'canary'", "is in quotes, which would be part of it: remove them"),
        ("JOURNAL__PATH", '"journal"', "is in quotes"),
        ("KAFKA__SSL_CA_FILE", "/dev/zero", "it has more than 4 MiB"),
        ("KIS__WEBSOCKET_URL", "ws://h/\x00", "holds U+0000"),
    ],
)
def test_what_nobody_can_mean_is_refused(name, value, problem):
    """Invisible characters, quotes, variables and endless files are refused with the name."""
    (found, *_) = problems({f"KIS_BOND_{name}": value})
    assert found.startswith(f"{name.replace('__', '.').lower()} (KIS_BOND_{name}): ")
    assert problem in found
    assert "canary" not in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("journal: {path: [a]}", "journal.path: is a list: give a single value"),
        ("kis: {appkey: [a]}", "kis.appkey: is a list: give a single value"),
        ("log: {level: {a: 1}}", "log.level: is a section: give a single value"),
        ("log: {level: null}", "log.level: is empty: give a value, or remove the setting"),
        ("http: {host: }", "http.host: is empty: give a value, or remove the setting"),
        ("replicas: {name: ~}", "replicas.name: is empty: give a value, or remove the setting"),
        (f"kafka: {{client_id: '{'x' * 40_000}'}}", "kafka.client_id: has more than 1,000 characters"),
        (f"registry: {{url: 'http://{'x' * 40_000}'}}", "registry.url: has more than 1,000 characters"),
        ('"a\\nb\\e[31m": 1', r"a\nb\x1b[31m: is not a setting"),
        ('kafka: {"a\\nb": 1}', r"kafka.a\nb: is not a setting"),
    ],
)
def test_a_value_of_another_shape_is_one_line(tmp_path, text, problem):
    """A list, a section, nothing, a huge text or a name with line breaks is one clear line."""
    (config := tmp_path / "c.yaml").write_text(text)
    (found,) = problems({}, config)
    assert found.startswith(problem)


def test_a_problem_is_cut(tmp_path):
    """A value that is quoted in a problem does not fill the terminal."""
    (config := tmp_path / "c.yaml").write_text(f"topics: {{ticks: '{'x' * 900_000}'}}")
    (found,) = problems({}, config)
    assert found.startswith("topics.ticks: 'xxx")
    assert len(found) < 1100


def test_an_optional_setting_may_be_null(tmp_path):
    """A setting without a value is unset if it may be."""
    (config := tmp_path / "c.yaml").write_text("registry: {url: ~, schema_id: }\nhttp: {allowed_hosts: ~}")
    assert load(config, {}) == load(None, {})


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    """A path may begin with ~, also that of the configuration file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("journal: {path: ~/j}")
    assert load(None, {"KIS_BOND_CONFIG": "~/c.yaml\r"}).journal.path == tmp_path / "j"
    assert load(Path("~/c.yaml"), {"KIS_BOND_KIS__CREDENTIALS_DIR": "~/k"}).kis.credentials_dir == tmp_path / "k"


def test_a_file_without_end_is_a_problem():
    """A configuration that never ends is not read to its end."""
    (problem,) = problems({}, Path("/dev/zero"))
    assert problem == (
        "/dev/zero: the configuration file is too large, it has more than 1 MiB: correct --config or KIS_BOND_CONFIG"
    )


def test_mistakes_of_app_keys_are_reported_with_the_others(tmp_path):
    """Problems of app keys join other mistakes, unless those concern app keys or the whole file."""

    def load_with_app_keys(environ, config=None):
        with pytest.raises(ConfigurationError) as refused:
            load(config, environ, app_key_problems=lambda _: ["no app keys"])
        return list(refused.value.problems)

    assert load_with_app_keys({"KIS_BOND_HTTP__PORT": "x"})[1:] == ["no app keys"]
    assert len(load_with_app_keys({"KIS_BOND_KIS__APPKEY": "'x'"})) == 1
    (broken := tmp_path / "c.yaml").write_text("a: [")
    assert len(load_with_app_keys({}, broken)) == 1
    assert load(None, {}, app_key_problems=lambda _: ["no app keys"])


def test_mistakes_of_files_are_reported_with_the_others():
    """Problems of files that settings name are mistakes, alone and beside any other."""
    for environ in ({}, {"KIS_BOND_HTTP__PORT": "x"}, {"KIS_BOND_KIS__APPKEY": "'x'"}):
        with pytest.raises(ConfigurationError) as refused:
            load(None, environ, lambda _: ["no certificate"])
        assert len(refused.value.problems) == len(environ) + 1
        assert refused.value.problems[-1] == "no certificate"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("KIS_BOND_KAFKA_BOOTSTRAP_SERVERS", "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS"),
        ("KIS_BOND_KIS_APPKEY", "KIS_BOND_KIS__APPKEY"),
        ("KIS_BOND__HTTP__PORT", "KIS_BOND_HTTP__PORT"),
        ("KISBOND_LOG__LEVEL", "KIS_BOND_LOG__LEVEL"),
        ("KIS_BOND__CONFIG", "KIS_BOND_CONFIG"),
        ("KIS_BOND_HTTP_PORT", "KIS_BOND_HTTP__PORT"),
    ],
)
def test_a_variable_with_other_underscores_is_a_mistake(variable, meant):
    """A variable that differs from one of ours only by underscores was meant to be that one."""
    assert problems({variable: "canary"}) == [f"{variable}: is not a setting: did you mean {meant}?"]


def test_kubernetes_variables_are_not_ours():
    """What Kubernetes sets beside services named kis-bond and kis-bond-http changes nothing."""
    environ = {
        "KIS_BOND_PORT": "tcp://10.0.0.1:80",
        "KIS_BOND_PORT_80_TCP_ADDR": "10.0.0.1",
        "KIS_BOND_SERVICE_HOST": "10.0.0.1",
        "KIS_BOND_HTTP_PORT": "tcp://10.0.0.1:80",
        "KIS_BOND_HTTP_SERVICE_PORT": "80",
    }
    assert load(None, environ) == load(None, {})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ('"c.yaml"', "is in quotes"),
        ("'c.yaml'", "is in quotes"),
        ("$HOME/c.yaml", "holds a variable"),
        ("${HOME}/c.yaml", "holds a variable"),
        ("c\n.yaml", "holds U+000A"),
        ("~nobody-of-this-name/c.yaml", "unknown user"),
    ],
)
def test_the_name_of_the_file_is_a_path_as_any_other(name, problem):
    """The name of the settings file follows the rules of paths, and its source is named."""
    (found,) = problems({"KIS_BOND_CONFIG": name})
    assert found.startswith("KIS_BOND_CONFIG: ")
    assert problem in found
    (found,) = problems({}, Path(name))
    assert found.startswith("--config: ")
    assert problem in found


def test_the_edges_of_the_files_name_are_trimmed(tmp_path):
    """A carriage return that an editor left after the name is not part of it."""
    (config := tmp_path / "c.yaml").write_text("http: {port: 7}")
    assert load(Path(f"{config}\r"), {}).http.port == 7
    assert load(None, {"KIS_BOND_CONFIG": f" {config}\r\n"}).http.port == 7
    assert load(None, {"KIS_BOND_CONFIG": " "}).http.port == 8080


def test_yes_is_no_number(tmp_path):
    """YAML's yes is refused as a number, and not read as 1."""
    config = tmp_path / "c.yaml"
    config.write_text("kis: {session_capacity: yes}")
    assert problems({}, config) == ["kis.session_capacity: is true: put quotes around text, or give a number"]


def test_secrets_do_not_show():
    """Neither a repr, nor the redacted settings, nor an error shows an app key or secret."""
    environ = {"KIS_BOND_KIS__APPKEY": "canary-key", "KIS_BOND_KIS__APPSECRET": "canary-secret"}
    settings = load(None, environ)
    found = problems(environ | {"KIS_BOND_KIS__APPKEYS": "canary-typo", "KIS_BOND_HTTP__PORT": "canary-port"})
    shown = f"{settings!r} {settings} {json.dumps(settings.redacted())} {found}"
    assert "canary" not in shown
    assert settings.redacted()["kis"]["appkey"] == "********"
    assert load(None, {}).redacted()["kis"]["appkey"] is None


def test_settings_do_not_change():
    """Settings are frozen."""
    settings = load(None, {})
    with pytest.raises(ValidationError):
        settings.http.port = 1
    with pytest.raises(ValidationError):
        settings.http = None


def test_sections_can_be_built_alone():
    """A part of the program can get a section of its own."""
    assert KisSettings(websocket_url="ws://127.0.0.1:1").session_capacity == 41


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("fd00::1", "http://[fd00::1]:8080"),
        ("connector.example", "http://connector.example:8080"),
    ],
)
def test_the_address_of_the_endpoints(host, url):
    """An address that stands for all is shown as this machine's own, and IPv6 has brackets."""
    assert HttpSettings(host=host).url() == url
    assert HttpSettings(host=host, port=0).url(8080) == url
