"""`kis-bond check` accepts what the chart writes into the settings file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helm.chart import CHART, CI, ROOT, settings_of
from tests.security.certificates import Authority

SCHEMA = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
MOUNTED = "/etc/kis-bond"


def check(settings, folder, variables=None):
    """Run `kis-bond check --json` on a settings file as a pod has it, with made-up secrets.

    `variables` are those of a job, which win over the file.
    """
    authority = Authority(folder)
    pems = dict.fromkeys(("ca", "ssl_ca", "oauth_ca"), authority.ca)
    pairs = ("certificate", "key", "ssl_certificate", "ssl_key", "oauth_client_key")
    pems |= dict.fromkeys(pairs, authority.issue("client"))
    text = settings.replace(MOUNTED, str(folder / "etc"))
    own = {name: value.replace(MOUNTED, str(folder / "etc")) for name, value in (variables or {}).items()}
    files = {"own": {name.lower(): value for name, value in own.items() if value}}
    for section in (yaml.safe_load(text) | files).values():
        for name, value in section.items():
            if name.endswith("_file"):
                Path(value).parent.mkdir(parents=True, exist_ok=True)
                pem = pems.get(name.removesuffix("_file").rpartition("__")[2])
                Path(value).write_text(pem.read_text() if pem else "dummy\n")
    keys = folder / "etc" / "app-keys"
    keys.mkdir(parents=True, exist_ok=True)
    for part in ("appkey", "appsecret"):
        (keys / f"{part}-0").write_text("dummy\n")
    config = folder / "kis-bond.yaml"
    config.write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")}
    environment |= {"KIS_BOND_CONFIG": str(config), "KIS_BOND_REPLICAS__NAME": "bond-kis-bond-connector-0"}
    environment |= own
    # The package of Kerberos is in no test environment: it has to be built.
    (folder / "gssapi.py").touch()
    environment["PYTHONPATH"] = str(folder)
    command = [sys.executable, "-m", "connector", "check", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT, env=environment)


@pytest.mark.parametrize("file", CI)
def test_check_takes_the_settings(chart, file, tmp_path):
    """`kis-bond check` accepts each values file's settings, and they are in force as given."""
    text = settings_of(chart.render(file))
    result = check(text, tmp_path)
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["app_keys"] == 1
    assert shown["settings"]["replicas"]["name"] == "bond-kis-bond-connector-0"
    for section, values in yaml.safe_load(text).items():
        for name, value in values.items():
            if isinstance(value, bool | float) or (isinstance(value, int) and name != "max_bytes"):
                assert shown["settings"][section][name] == value


def test_every_setting_is_in_a_values_file(chart):
    """A few values files set every key of `config` between them, so that each is checked."""
    found = {section: set() for section in SCHEMA}
    for file in ("every-setting", "with-tokens", "with-client-key", "registry-token", "with-kerberos"):
        for section, values in yaml.safe_load((CHART / "ci" / f"{file}.yaml").read_text())["config"].items():
            found[section] |= set(values)
    assert found == {section: set(schema["properties"]) for section, schema in SCHEMA.items()}


def test_every_choice_is_taken(chart, tmp_path):
    """`kis-bond check` accepts every word that the schema offers for a setting."""
    for section, schema in SCHEMA.items():
        for name, part in schema["properties"].items():
            for word in part.get("enum", []):
                file = {"OAUTHBEARER": "with-tokens", "oidc": "with-tokens", "GSSAPI": "with-kerberos"}.get(
                    word, "every-setting"
                )
                settings = yaml.safe_load(settings_of(chart.render(file)))
                if word == "msk_iam":
                    settings["kafka"] = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
                settings[section][name] = word
                if word in {"PLAINTEXT", "SSL", "SASL_PLAINTEXT"}:
                    settings["kafka"] = {"security_protocol": word}
                if word == "SASL_PLAINTEXT":
                    settings["kafka"] |= {
                        "sasl_mechanism": "SCRAM-SHA-512",
                        "sasl_username": "u",
                        "sasl_password_file": f"{MOUNTED}/p",
                    }
                result = check(yaml.safe_dump(settings), tmp_path)
                assert result.returncode == 0, (section, name, word, result.stderr)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, None),
        ({"journal": {"volume": "emptyDir", "emptyDir": {"sizeLimit": "2Gi"}}}, 20),
        (
            {
                "journal": {"volume": "emptyDir", "emptyDir": {"sizeLimit": "2Gi"}},
                "config": {"delivery": {"stop_silence_seconds": 3}},
            },
            3,
        ),
    ],
)
def test_a_journal_that_goes_with_the_pod_waits_for_silent_brokers(chart, values, seconds):
    """With emptyDir a stop waits for silent brokers up to its deadline, unless told otherwise."""
    delivery = yaml.safe_load(settings_of(chart.render("smallest", values)))["delivery"]
    assert delivery.get("stop_silence_seconds") == seconds


def test_check_would_refuse(chart, tmp_path):
    """A key that the connector does not know would be refused here."""
    result = check(settings_of(chart.render("smallest")).replace("bootstrap_servers", "bootstrap_server"), tmp_path)
    assert result.returncode == 2
    assert "did you mean kafka.bootstrap_servers?" in result.stderr


@pytest.mark.parametrize(
    ("given", "effective"),
    [("256MiB", 256 * 2**20), (137438953472, 2**37), ("1073741824", 2**30), ("  512 MiB ", 512 * 2**20)],
)
def test_sizes_arrive(chart, tmp_path, given, effective):
    """A size reaches the connector as meant, in every notation."""
    values = {"config": {"journal": {"max_bytes": given}}, "journal": {"claim": {"size": "1Ti"}}}
    result = check(settings_of(chart.render("smallest", values)), tmp_path)
    assert json.loads(result.stdout)["settings"]["journal"]["max_bytes"] == effective
