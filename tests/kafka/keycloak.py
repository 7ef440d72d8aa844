"""A real OpenID provider for the tests: Keycloak, with a realm of short-lived tokens."""

import base64
import fcntl
import functools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.kafka import jars
from tests.kafka.process import Server, free_ports, wait_for_port

START_SECONDS = 180
BUILD_SECONDS = 300
REALM, ADMIN, AUDIENCE = "bonds", "admin", "kafka"
# Letters that a form would take for others: they must be encoded on their way.
SECRET = "canary+client/secret=1 %2B"
KEYS = "org.keycloak.keys.KeyProvider"
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@functools.cache
def why_no_keycloak() -> str | None:
    """Return why this machine cannot have Keycloak, or None."""
    try:
        jars.java()
        jars.fetch("keycloak")
    except jars.Unavailable as reason:
        return f"it needs Keycloak: {reason}"
    return None


def built() -> Path:
    """Return Keycloak's folder; the first time it is unpacked and built. Raises `Unavailable`."""
    folder = jars.fetch("keycloak")
    home = folder / "built"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build(folder, home)
    return home


def _build(folder: Path, home: Path) -> None:
    if not home.exists():
        [archive] = folder.glob("*.zip")
        unpacked = Path(tempfile.mkdtemp(dir=folder))
        with zipfile.ZipFile(archive) as content:
            content.extractall(unpacked)
        [made] = unpacked.iterdir()
        script = made / "bin" / "kc.sh"
        script.chmod(0o755)
        options = ["--db=dev-file", "--cache=local", "--features-disabled=admin,account,kerberos"]
        command = [str(script), "build", *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
        if result.returncode:
            raise jars.Unavailable(f"Keycloak could not be built: {(result.stdout + result.stderr)[-400:]}")
        made.rename(home)
        shutil.rmtree(unpacked)


@dataclass
class Keycloak:
    """One Keycloak process on the loopback. A stop forgets nothing."""

    server: Server
    folder: Path
    port: int
    secure_port: int

    @classmethod
    def launch(cls, certificate: Path, life_seconds: int) -> Self:
        """Return a running provider with the realm's clients. Raises `Unavailable`.

        `certificate` is a PEM file with key and certificate for its HTTPS port. Tokens of the
        client `kis-bond` live `life_seconds`, those of `long-lived` ten times as long.
        """
        home = built()
        port, secure_port = free_ports(2)
        folder = Path(tempfile.mkdtemp(prefix="kis-bond-keycloak-"))
        settings = {
            "http-enabled": "true",
            "http-host": "127.0.0.1",
            "http-port": port,
            "https-port": secure_port,
            "https-certificate-file": certificate,
            "https-certificate-key-file": certificate,
            "hostname": f"http://127.0.0.1:{port}",
            "db-url": f"jdbc:h2:file:{folder}/keycloak;NON_KEYWORDS=VALUE",
        }
        first = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN}
        # Without Keycloak's own script, which would be a parent of the process that is to be ended.
        command = [
            *("env", *(f"{name}={value}" for name, value in first.items()), jars.java()),
            *("-Xmx384m", *jars.BRIEF, f"-Dkc.home.dir={home}"),
            *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("util", "util.concurrent", "security")),
            *("-Djava.util.logging.manager=org.jboss.logmanager.LogManager", "-Dpicocli.disable.closures=true"),
            *("-cp", str(home / "lib" / "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint"),
            *("start", "--optimized"),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        made = cls(Server(command, folder / "keycloak.log"), folder, port, secure_port)
        made.start()
        made._ask("POST", "/admin/realms", _realm(life_seconds))
        return made

    @property
    def token_url(self) -> str:
        """The token endpoint, over HTTPS."""
        return f"https://127.0.0.1:{self.secure_port}/realms/{REALM}/protocol/openid-connect/token"

    @property
    def issuer(self) -> str:
        """Who the tokens say issued them."""
        return f"http://127.0.0.1:{self.port}/realms/{REALM}"

    @property
    def keys_url(self) -> str:
        """Where brokers find the keys of tokens."""
        return f"{self.issuer}/protocol/openid-connect/certs"

    def start(self) -> None:
        """Start or thaw the process, and return once it answers."""
        self.server.thaw()
        self.server.start()
        deadline = time.monotonic() + START_SECONDS
        wait_for_port(self.port, self.server, deadline)
        while True:
            try:
                self._get("/realms/master")
            except (urllib.error.URLError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def rotate(self) -> None:
        """Sign with a new key from now on, and forget the keys from before."""
        path = f"/admin/realms/{REALM}/components"
        query = urllib.parse.urlencode({"type": KEYS})
        before = [each for each in self._ask("GET", f"{path}?{query}") if each["providerId"] == "rsa-generated"]
        config = {"priority": ["1000"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
        new = {"name": f"key-{time.time_ns()}", "providerId": "rsa-generated", "providerType": KEYS, "config": config}
        self._ask("POST", path, new)
        for each in before:
            self._ask("DELETE", f"{path}/{each['id']}")

    def trust(self, client: str, key: PublicKey, key_id: str, life_seconds: int) -> None:
        """Add a client that proves who it is with the private half of this key."""
        keys = json.dumps({"keys": [{"kid": key_id, "use": "sig"} | _published(key)]})
        login = {"clientAuthenticatorType": "client-jwt"}
        attributes = {"use.jwks.string": "true", "jwks.string": keys}
        whole = _client(client, life_seconds)
        whole |= login | {"attributes": whole["attributes"] | attributes}
        self._ask("POST", f"/admin/realms/{REALM}/clients", whole)

    def kill(self) -> None:
        """End the process as a crash would."""
        self.server.kill()

    def freeze(self) -> None:
        """Stop the process where it is; its sockets stay open."""
        self.server.freeze()

    def close(self) -> None:
        """End the process, and delete its data."""
        self.server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _get(self, path: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            answer.read()

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        login = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": ADMIN}
        base = f"http://127.0.0.1:{self.port}"
        form = urllib.parse.urlencode(login).encode()
        with urllib.request.urlopen(f"{base}/realms/master/protocol/openid-connect/token", form, timeout=30) as answer:
            token = json.load(answer)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(base + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = answer.read()
        return json.loads(said) if said else None


def _realm(life_seconds: int) -> dict[str, Any]:
    return {
        "realm": REALM,
        "enabled": True,
        "sslRequired": "none",
        "clients": [_client("kis-bond", life_seconds), _client("long-lived", 10 * life_seconds)],
    }


def _published(key: PublicKey) -> dict[str, str]:
    """Return a public key as a JWK (RFC 7518, section 6)."""
    numbers = key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return {"kty": "RSA", "n": _base64(numbers.n), "e": _base64(numbers.e)}
    return {"kty": "EC", "crv": "P-256", "x": _base64(numbers.x, 32), "y": _base64(numbers.y, 32)}


def _base64(number: int, size: int | None = None) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _client(name: str, life_seconds: int) -> dict[str, Any]:
    config = {"included.custom.audience": AUDIENCE, "access.token.claim": "true", "id.token.claim": "false"}
    mapper = {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper"}
    return {
        "clientId": name,
        "secret": SECRET,
        "clientAuthenticatorType": "client-secret",
        "serviceAccountsEnabled": True,
        "standardFlowEnabled": False,
        "attributes": {"access.token.lifespan": str(life_seconds)},
        "protocolMappers": [mapper | {"config": config}],
    }
