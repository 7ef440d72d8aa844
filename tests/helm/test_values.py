"""The values: their schema, their defaults, their README."""

import json
import re

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

import connector
from connector.settings import Settings
from connector.settings.model import JournalSettings
from connector.settings.reference import json_schema
from connector.settings.values import Brokers
from tests.helm import values_readme
from tests.helm.chart import CHART, Refused
from tests.helm.test_objects import validate

# What the chart itself sets, so that no values file can.
OURS = {
    "audit.credentials_dir",
    "audit.token_path",
    "kis.credentials_dir",
    "kis.appkey",
    "kis.appsecret",
    "journal.path",
    "replicas.name",
}
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "path", "word"),
    [
        ({"replica": 2}, "", "replica"),
        ({"replicas": "two"}, "/replicas", "want integer"),
        ({"image": {"tga": "1"}}, "/image", "tga"),
        ({"image": {"digest": "0123"}}, "/image/digest", "does not match pattern"),
        ({"config": {"kafka": {"bootstrap_server": "kafka:9092"}}}, "/config/kafka", "bootstrap_server"),
        ({"config": {"kis": {"appkey": "PS"}}}, "/config/kis", "appkey"),
        ({"config": {"kis": {"customer_type": "C"}}}, "/config/kis/customer_type", "'P', 'B'"),
        ({"config": {"journal": {"path": "/tmp/j"}}}, "/config/journal", "path"),
        ({"config": {"journal": {"max_bytes": "1 gig"}}}, "/config/journal/max_bytes", "does not match pattern"),
        ({"config": {"replicas": {"name": "me"}}}, "/config/replicas", "name"),
        ({"config": {"http": {"port": 0}}}, "/config/http/port", "minimum"),
        ({"config": {"http": None}}, "/config", "http"),
        ({"config": {"http": {"host": None}}}, "/config/http", "host"),
        ({"config": {"http": {"port": None}}}, "/config/http", "port"),
        ({"config": {"journal": {"max_bytes": "16383KiB"}}}, "/config/journal/max_bytes", "does not match pattern"),
        ({"config": {"journal": {"max_bytes": 16777215}}}, "/config/journal/max_bytes", "minimum"),
        ({"config": {"journal": {"max_bytes": None}}}, "/config/journal", "max_bytes"),
        ({"config": {"delivery": {"stop_deadline_seconds": None}}}, "/config/delivery", "stop_deadline_seconds"),
        ({"config": {"replicas": {"coordination": None}}}, "/config/replicas", "coordination"),
        ({"replicas": None}, "", "replicas"),
        ({"unreachableSeconds": None}, "", "unreachableSeconds"),
        (
            {"config": {"kafka": {"bootstrap_servers": "kafka"}}},
            "/config/kafka/bootstrap_servers",
            "does not match pattern",
        ),
        ({"journal": {"volume": "emptydir"}}, "/journal/volume", "'claim', 'emptyDir'"),
        ({"journal": {"claim": {"size": "2GiB"}}}, "/journal/claim/size", "does not match pattern"),
        ({"journal": {"claim": {"size": "0.0Gi"}}}, "/journal/claim/size", "does not match pattern"),
        (
            {"podDisruptionBudget": {"maxUnavailable": "150%"}},
            "/podDisruptionBudget/maxUnavailable",
            "does not match pattern",
        ),
        ({"appKeys": {"existingSecret": "Keys"}}, "/appKeys/existingSecret", "does not match pattern"),
        ({"serviceAccount": {"name": "a_b"}}, "/serviceAccount/name", "does not match pattern"),
        ({"nameOverride": "-bonds"}, "/nameOverride", "does not match pattern"),
        ({"commonLabels": {"team": "a b"}}, "/commonLabels/team", "does not match pattern"),
        ({"podAnnotations": {"a b": "c"}}, "", "'a b' does not match pattern"),
        ({"updateStrategy": {"type": "Recreate"}}, "/updateStrategy/type", "RollingUpdate"),
        ({"jobs": {"kafka": {"bootstrap_servers": "kafka:9092"}}}, "/jobs/kafka", "bootstrap_servers"),
        ({"jobs": {"kafka": {"sasl_mechanism": "KERBEROS"}}}, "/jobs/kafka/sasl_mechanism", "'GSSAPI'"),
        ({"jobs": {"kafka": {"oauth_extra": {"a": "b,c"}}}}, "/jobs/kafka/oauth_extra/a", "does not match pattern"),
        ({"initContainers": [{"name": "proxy"}]}, "/initContainers/0", "image"),
        ({"probes": {"readiness": {"terminationGracePeriodSeconds": 5}}}, "/probes/readiness", "terminationGrace"),
        ({"appKeys": {"inline": [{"appkey": "PS"}]}}, "/appKeys/inline/0", "appsecret"),
        (
            {"subscriptions": {"lists": {"desk": {"instruments": ["KR1"]}}}},
            "/subscriptions/lists/desk/instruments/0",
            "does not match pattern",
        ),
        ({"subscriptions": {"lists": {"desk": {"priority": 10}}}}, "/subscriptions/lists/desk/priority", "maximum"),
        ({"podLabels": {"cost": 1}}, "/podLabels/cost", "want string"),
        ({"probes": {"liveness": {"path": "/readyz"}}}, "/probes/liveness", "path"),
        ({"networkPolicy": {"kafka": {"ports": [0]}}}, "/networkPolicy/kafka/ports/0", "minimum"),
        ({"extraEnv": [{"nam": "A"}]}, "/extraEnv/0", "nam"),
        ({"extraVolumeMounts": [{"name": "a"}]}, "/extraVolumeMounts/0", "mountPath"),
        ({"topologySpread": {"constraints": [{"topologyKey": "zone"}]}}, "/topologySpread/constraints/0", "maxSkew"),
        ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval", "does not match pattern"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_typo_is_refused_with_its_path(chart, values, path, word):
    """An unknown value or a wrong type is refused, with its path and what is wrong."""
    with pytest.raises(Refused) as refused:
        chart.render("smallest", values)
    assert any(f"at '{path}'" in line and word in line for line in str(refused.value).splitlines()), refused.value


@pytest.mark.parametrize(
    ("brokers", "is_taken"),
    [
        ("kafka:9092", True),
        ("kafka-1.example.com:9093, kafka_2:1,[fd00::1]:65535 ", True),
        ("kafka", False),
        ("kafka:0", False),
        ("kafka:65536", False),
        ("kafka:99999", False),
        ("kafka:9092,", False),
        ("kafka:9092,kafka", False),
        ("kafka:9092 kafka:9093", False),
        ("user:password@kafka:9092", False),
        ("PLAINTEXT://kafka:9092", False),
        ("", False),
    ],
)
def test_brokers_are_those_the_connector_takes(brokers, is_taken):
    """The schema accepts the same broker lists as the connector."""
    pattern = SCHEMA["properties"]["config"]["properties"]["kafka"]["properties"]["bootstrap_servers"]["pattern"]
    assert bool(re.search(pattern, brokers)) is is_taken
    try:
        TypeAdapter(Brokers).validate_python(brokers)
    except ValidationError:
        assert not is_taken
    else:
        assert is_taken


@pytest.mark.parametrize(
    ("journal", "is_taken"),
    [
        *(
            ({"max_bytes": size}, False)
            for size in (1, 2**24 - 1, 2**53 + 1, "0", "1", "9999999", "12345678", "16777215")
        ),
        *(({"max_bytes": size}, True) for size in (2**24, 2**53, "16777216", " 16777216 B ", "16777220", "16777300")),
        *(({"max_bytes": size}, True) for size in ("16778000", "16780000", "16800000", "17000000", "20000000")),
        *(({"max_bytes": f"{size}KiB"}, size >= 2**14) for size in (1, 9999, 16383, 16384, 16390, 16400, 17000, 99999)),
        *(({"max_bytes": f"{size} MiB"}, size >= 16) for size in (1, 9, 10, 15, 16, 19, 20, 99, 100, 1000)),
        *(({"max_bytes": size}, True) for size in ("1GiB", "1 TiB", "100000000", "100000KiB")),
        *(({"max_bytes": "1GiB", "sync_seconds": seconds}, 0 < seconds < 1e5) for seconds in (0, 0.01, 86_400, 1e9)),
        *(({"max_bytes": "1GiB", "retain_hours": hours}, hours < 1e5) for hours in (0, 87_600, 100_000)),
    ],
    ids=str,
)
def test_the_journal_is_the_one_the_connector_takes(journal, is_taken):
    """The schema and the settings refuse the same sizes and times of the journal."""
    schema = SCHEMA["properties"]["config"]["properties"]["journal"]
    assert jsonschema.Draft7Validator(schema).is_valid(journal) is is_taken
    try:
        JournalSettings(**journal)
    except ValidationError:
        assert not is_taken
    else:
        assert is_taken


def test_the_schema_is_closed():
    """Each mapping lists its keys and refuses others, unless it is Kubernetes' own or free."""
    free = {
        ("global",),
        ("updateStrategy",),
        ("dnsConfig",),
        ("podSecurityContext",),
        ("securityContext",),
        ("affinity",),
    }

    def check(schema, path):
        for key, part in schema.get("properties", {}).items():
            if part.get("type") == "object" and (*path, key) not in free:
                assert "additionalProperties" in part, (*path, key)
            check(part, (*path, key))

    assert SCHEMA["additionalProperties"] is False
    check(SCHEMA, ())


def keys(values, above=()):
    """Yield the path of every key of the values, mappings included."""
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from keys(value, (*above, key))


@pytest.mark.parametrize("section", VALUES)
def test_an_empty_value_is_taken_or_refused_by_name(chart, crds, section):
    """A key with nothing after the colon gives valid objects, or a refusal that names the key."""
    for path in [path for path in keys(VALUES) if path[0] == section]:
        values = None
        for key in reversed(path):
            values = {key: values}
        try:
            objects = chart.render("first-try", values)
        except Refused as refused:
            found = str(refused)
        else:
            found = None
            for each in objects:
                validate(each, crds)
        if found is not None:
            assert path[-1] in found, (path, found)
            assert "at '" in found or "These values cannot be used" in found, (path, found)


def test_values_and_schema_name_the_same(chart):
    """Schema and values.yaml have the same values outside `config`."""

    def names(values, schema, path=""):
        for key, part in schema.get("properties", {}).items():
            if (path, key) not in {("", "config"), ("", "enabled")} and not path.startswith(
                (".probes", ".resources", ".jobs.", ".updateStrategy")
            ):
                assert key in values, f"{path}.{key}"
                if isinstance(values[key], dict):
                    names(values[key], part, f"{path}.{key}")
        assert values.keys() <= schema.get("properties", values).keys(), path

    names(VALUES, SCHEMA)


def test_config_takes_every_setting():
    """`config` accepts every setting of the connector except those that the chart sets."""
    sections = SCHEMA["properties"]["config"]["properties"]
    allowed = {f"{section}.{name}" for section, schema in sections.items() for name in schema["properties"]}
    known = {
        f"{section}.{name}"
        for section, field in Settings.model_fields.items()
        for name in field.annotation.model_fields
    }
    assert allowed == known - OURS


def test_config_has_the_choices_and_bounds_of_the_settings():
    """A setting has the words and the bounds that `kis-bond config schema` gives it."""
    known = json_schema()["properties"]
    for section, schema in SCHEMA["properties"]["config"]["properties"].items():
        for name, offered in schema["properties"].items():
            expected = _limits(known[section]["properties"][name])
            if name in {"port", "http_port"}:
                expected["minimum"] = 1  # a Service cannot find a port that is chosen at the start
            assert _limits(offered) == expected, f"{section}.{name}"


def _limits(schema):
    """Return the choices and bounds of a setting, even of an optional one."""
    alternatives = [schema, *schema.get("anyOf", ())]
    return {word: each[word] for each in alternatives for word in ("enum", "minimum", "maximum") if word in each}


def test_defaults_are_those_of_the_settings():
    """The defaults under `config` are the connector's, except the address, which a pod opens."""
    own = Settings().model_dump(mode="json")
    for section, values in VALUES["config"].items():
        for name, value in values.items():
            expected = {"http.host": "0.0.0.0", "journal.max_bytes": "1GiB"}.get(
                f"{section}.{name}", own[section][name]
            )
            assert value == expected, f"{section}.{name}"
    assert own["journal"]["max_bytes"] == 2**30


def test_the_chart_is_of_the_connectors_version():
    """appVersion, the image's default tag, is the connector's version."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == connector.__version__


def test_the_readme_is_that_of_the_values():
    """README.md is what `make chart-readme` writes from values.yaml."""
    assert values_readme.README.read_text() == values_readme.readme(), "run `make chart-readme`"


def test_every_value_is_described():
    """Each value, or a mapping that holds it, has a comment."""
    assert values_readme.undescribed() == []
