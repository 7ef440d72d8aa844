"""A Kerberos realm on the loopback with MIT's KDC, and a broker that takes its tickets."""

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.kafka.jars import Unavailable
from tests.kafka.launcher import Broker, JavaKafka
from tests.kafka.process import Server, free_ports, wait_for_port

REALM, HOST, CLIENT, SERVICE = "BOND.EXAMPLE", "localhost", "kis-bond", "kafka"
PATH = f"/usr/sbin:{os.environ.get('PATH', '')}"
START_SECONDS = 20
KRB5 = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  clockskew = 3
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  {host} = {realm}
"""
KDC = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = {life}s
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


class Realm:
    """A realm whose tickets live for `life` seconds; `client` and `service` are keytabs."""

    def __init__(self, life: int) -> None:
        programs = {name: shutil.which(name, path=PATH) for name in ("krb5kdc", "kdb5_util", "kadmin.local")}
        if missing := [name for name, found in programs.items() if found is None]:
            raise Unavailable(f"{', '.join(missing)} of Debian's krb5-kdc and krb5-admin-server is not installed")
        self._programs = programs
        self.life = life
        self.principal = f"{CLIENT}@{REALM}"
        self._folder = folder = Path(tempfile.mkdtemp(prefix="kis-bond-realm-"))
        (self._port,) = free_ports(1)
        names = {"realm": REALM, "port": self._port, "folder": folder, "life": life, "host": HOST}
        self.configuration = folder / "krb5.conf"
        self.configuration.write_text(KRB5.format(**names))
        (folder / "kdc.conf").write_text(KDC.format(**names))
        self.environment = {"KRB5_CONFIG": str(self.configuration)}
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        self.client, self.service = (self.keytab(name) for name in (CLIENT, f"{SERVICE}/{HOST}"))
        whole = ["env", *(f"{name}={value}" for name, value in self._environment().items()), programs["krb5kdc"]]
        self.kdc = Server([*map(str, whole), "-n"], folder / "output")

    def keytab(self, name: str) -> Path:
        """Add a principal, and return the file with its keys."""
        file = self._folder / f"{name.replace('/', '-')}.keytab"
        self._run("kadmin.local", "-q", f"addprinc -randkey +requires_preauth {name}")
        self._run("kadmin.local", "-q", f"ktadd -k {file} {name}")
        return file

    def replace_keys(self, name: str, file: Path | None = None) -> None:
        """Replace a principal's keys. `file` is exchanged for one that has only the new ones."""
        new = self._folder / "new.keytab"
        self._run("kadmin.local", "-q", f"ktadd -k {new} {name}")
        new.replace(file or self._folder / "unused.keytab")

    def start(self) -> None:
        """Start the KDC, and return once it listens."""
        self.kdc.start()
        wait_for_port(self._port, self.kdc, time.monotonic() + START_SECONDS)

    def issued(self) -> int:
        """Return how many first tickets (AS-REQ) our principal got."""
        return sum("AS_REQ" in line and "ISSUE" in line and CLIENT in line for line in self._log())

    def refused(self) -> int:
        """Return how many first tickets the KDC refused, but for the question for a proof."""
        return sum("AS_REQ" in line and "ISSUE" not in line and "NEEDED_PREAUTH" not in line for line in self._log())

    def _log(self) -> list[str]:
        log = self._folder / "kdc.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def _environment(self) -> dict[str, str]:
        return self.environment | {"KRB5_KDC_PROFILE": str(self._folder / "kdc.conf")}

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs[name]), *arguments]
        subprocess.run(command, env=os.environ | self._environment(), check=True, capture_output=True, timeout=60)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kdc.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass
class KerberosKafka(JavaKafka):
    """A broker whose listener at `guarded` takes tickets, and ends a connection after a while."""

    realm: Realm = field(kw_only=True)
    session_seconds: float = field(kw_only=True)

    def __post_init__(self) -> None:
        (port,) = free_ports(1)
        self.guarded = f"{HOST}:{port}"
        self.options = (*self.options, f"-Djava.security.krb5.conf={self.realm.configuration}")
        super().__post_init__()

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        listeners = f"PLAINTEXT://127.0.0.1:{broker.port},TICKET://{self.guarded}"
        here = "listener.name.ticket"
        login = (
            "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false"
            f' keyTab="{self.realm.service}" principal="{SERVICE}/{HOST}@{REALM}";'
        )
        return super()._of(broker, voters) | {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{broker.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TICKET:SASL_PLAINTEXT",
            f"{here}.sasl.enabled.mechanisms": "GSSAPI",
            f"{here}.gssapi.sasl.jaas.config": login,
            f"{here}.gssapi.connections.max.reauth.ms": str(int(self.session_seconds * 1000)),
            "sasl.kerberos.service.name": SERVICE,
        }
