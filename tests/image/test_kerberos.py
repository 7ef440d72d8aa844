"""The image with the extra `gssapi`: its package is built from source, and nothing else is left."""

import json
import subprocess
import time

import pytest

from tests.conftest import ACCESS_REQUIRED, started
from tests.image.build import build
from tests.image.conftest import REVISION, figures
from tests.image.engine import Engine
from tests.kafka.jars import Unavailable
from tests.kafka.realm import KerberosKafka, Realm

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
INSIDE = """
import gssapi, importlib.metadata, json, shutil
installed = {each.name.lower() for each in importlib.metadata.distributions()}
print(json.dumps({
    "mechanism": gssapi.MechType.kerberos in gssapi.raw.indicate_mechs(),
    "tools": [name for name in ("cc", "gcc", "ld", "krb5-config", "cython") if shutil.which(name)],
    "left": sorted({"cython", "setuptools", "pip"} & installed),
}))
"""


@pytest.fixture(scope="module")
def kerberos_image(docker, image) -> str:
    """Build the image with Kerberos, after the plain one has brought the base."""
    started("Debian's packages for the image with Kerberos", lambda: build_base(docker), ACCESS_REQUIRED)
    began = time.monotonic()
    name = build(docker, revision=REVISION, packages="gssapi")
    figures["image with Kerberos built in"] = f"{time.monotonic() - began:.1f} s"
    return name


def build_base(docker):
    """Build the stage that needs only Debian's packages. Raises Unavailable if it fails."""
    try:
        build(docker, revision=REVISION, packages="gssapi", target="base-gssapi")
    except (AssertionError, subprocess.TimeoutExpired) as failure:
        raise Unavailable(str(failure)[-800:]) from None


def test_a_base_that_cannot_be_built_is_told(tmp_path):
    """The reason is what the build said last."""
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho 'E: Unable to locate package libgssapi-krb5-2' >&2\nexit 1\n")
    client.chmod(0o755)
    with pytest.raises(Unavailable, match="E: Unable to locate package libgssapi-krb5-2"):
        build_base(Engine("unix:///nowhere", str(client)))


def test_the_package_works_and_no_compiler_is_left(docker, kerberos_image):
    """The library of Kerberos is found, and what built the package is not in the image."""
    run = ("run", "--rm", *HARDENED, "--network", "none", "--entrypoint", "python3", kerberos_image, "-c", INSIDE)
    assert json.loads(docker.docker(*run)) == {"mechanism": True, "tools": [], "left": []}


def test_a_container_logs_in_with_a_ticket(docker, kerberos_image, tmp_path):
    """With a keytab and krb5.conf, topics are created at a broker that asks for tickets."""
    with started("a Kerberos realm", lambda: Realm(600), ACCESS_REQUIRED) as realm:
        broker = started(
            "a broker that takes tickets", lambda: KerberosKafka(realm=realm, session_seconds=60), ACCESS_REQUIRED
        )
        try:
            broker.start()
            for source, name in ((realm.client, "keytab"), (realm.configuration, "krb5.conf")):
                (tmp_path / name).write_bytes(source.read_bytes())
                (tmp_path / name).chmod(0o644)
            tmp_path.chmod(0o755)
            settings = {
                "KRB5_CONFIG": "/etc/kis-bond/kerberos/krb5.conf",
                "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": broker.guarded,
                "KIS_BOND_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KIS_BOND_KAFKA__SASL_MECHANISM": "GSSAPI",
                "KIS_BOND_KAFKA__GSSAPI_PRINCIPAL": realm.principal,
                "KIS_BOND_KAFKA__GSSAPI_KEYTAB_FILE": "/etc/kis-bond/kerberos/keytab",
            }
            given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
            mounted = ("--volume", f"{tmp_path}:/etc/kis-bond/kerberos:ro", "--network", "host")
            made = docker.docker("run", "--rm", *HARDENED, *mounted, *given, kerberos_image, "topics", "init")
        finally:
            broker.close()
    assert "bond.ticks" in made
