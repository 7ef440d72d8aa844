"""An OpenID provider that issues signed tokens, for brokers that check them."""

import base64
import json
import time

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER, AUDIENCE = "https://provider.example", "kafka"


class Provider:
    """Issues tokens of `life` seconds at `/token` and shows its keys at `/keys`, while it runs.

    `rotate` replaces the key, so that brokers refuse older tokens once they looked again. While
    `quotes` is true, each client is refused in words that hold its secrets; `refused` counts that.
    """

    def __init__(self, port, life):
        self._port = port
        self.life = life
        self.audience, self.issuer = AUDIENCE, ISSUER
        self.forges = False  # signs with a key that it does not show
        self.quotes, self.refused = False, 0
        self.tokens = []
        self._runner = None
        self.rotate()

    def rotate(self):
        """Sign with a new key from now on, and show no other."""
        self._key = _new_key()
        self._key_id = f"key-{time.monotonic_ns()}"

    @property
    def issued(self):
        """How many tokens were issued."""
        return len(self.tokens)

    @property
    def token_url(self):
        return f"http://127.0.0.1:{self._port}/token"

    @property
    def keys_url(self):
        return f"http://127.0.0.1:{self._port}/keys"

    async def start(self):
        """Listen."""
        application = web.Application()
        application.router.add_post("/token", self._issue)
        application.router.add_get("/keys", self._show)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()

    async def stop(self):
        """Go away."""
        await self._runner.cleanup()

    async def _issue(self, request):
        form = await request.post()
        login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        if form["grant_type"] != "client_credentials" or login != "bond:canary-client-secret":
            return web.json_response({"error": "invalid_client"}, status=401)
        if self.quotes:
            self.refused += 1
            said = f"no {login} ({request.headers['Authorization']}) with {' '.join(self.tokens[-2:])}"
            return web.json_response({"error": "invalid_request", "error_description": said}, status=400)
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": self._key_id}
        claims = {"iss": self.issuer, "aud": self.audience, "sub": "bond", "iat": now, "exp": now + self.life}
        signed = f"{_text(head)}.{_text(claims)}"
        signature = (_new_key() if self.forges else self._key).sign(
            signed.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        self.tokens.append(f"{signed}.{_base64(signature)}")
        return web.json_response(
            {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": max(1, self.life)}
        )

    async def _show(self, _):
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._key_id}
        key |= {
            name: _base64(value.to_bytes(size)) for name, value, size in (("n", numbers.n, 256), ("e", numbers.e, 3))
        }
        return web.json_response({"keys": [key]})


def _new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _text(value):
    return _base64(json.dumps(value).encode())


def _base64(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
