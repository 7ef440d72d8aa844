"""Gets an access token from an OpenID provider with client credentials."""

from __future__ import annotations

import ssl
import time
import uuid
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog
from yarl import URL

from connector import small_file
from connector.core.client_assertion import ASSERTION_TYPE, assertion_claims, read_key, sign
from connector.core.oauth import BearerToken, Fault, basic_credentials, read_answer, request_form
from connector.core.printable import printable
from connector.core.url_secrets import without_secrets
from connector.logs import hide, hide_issued, peer_text
from connector.settings.secret_files import MAX_PEM_BYTES
from connector.shell.access_token import NoAccessToken
from connector.shell.last_good import read_or_last_good
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from connector.core.client_assertion import SigningKey
    from connector.settings import OauthSettings

TIMEOUT_SECONDS: Final = 5.0
LONGEST_BODY: Final = 64 * 1024

log = structlog.get_logger("connector.oauth")


class ClientCredentials:
    """Asks one provider for tokens of one client. `section` is where its settings are.

    The secret or key, and the authorities, are read for each request.
    """

    def __init__(self, settings: OauthSettings, section: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._section = section
        self._proof = "oauth_client_secret_file" if settings.oauth_client_key_file is None else "oauth_client_key_file"
        self._pem = b""
        self._key: SigningKey | None = None
        self._authorities: ssl.SSLContext | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def ask(self, now: float) -> BearerToken:
        """Return a new token; its times count from `now`. Raises NoAccessToken."""
        url, section = URL(str(self._settings.oauth_token_url)), self._section
        shown = without_secrets(str(url))
        try:
            status, body = await self._post(url)
        except NoAccessToken:
            raise
        except TimeoutError:
            raise NoAccessToken(
                f"OAUTH_TIMEOUT: the token endpoint {shown} did not answer in {self._timeout.total:g} s"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = await explain_unreachable(
                error, url, address_setting=f"{section}.oauth_token_url", authority_setting=f"{section}.oauth_ca_file"
            )
            raise NoAccessToken(f"OAUTH_UNREACHABLE: no access token from {shown}: {cause}") from None
        answer = read_answer(status, body, now)
        if isinstance(answer, BearerToken):
            return answer
        raise NoAccessToken(
            f"OAUTH_REFUSED: the token endpoint {shown} gave no token: {printable(peer_text(answer.said))}: "
            f"{self._remedy(answer.fault)}"
        )

    def _remedy(self, fault: Fault) -> str:
        section, client = self._section, self._settings.oauth_client_id
        return {
            Fault.CLIENT: f"check {section}.oauth_client_id ({client}) and {section}.{self._proof}",
            Fault.SCOPE: f"check {section}.oauth_scope",
            Fault.ADDRESS: f"correct {section}.oauth_token_url; no redirect is followed",
            Fault.PROVIDER: "the provider has to be mended, and is asked again meanwhile",
        }[fault]

    async def _post(self, url: URL) -> tuple[int, bytes]:
        # A redirect would send the secret to another host. aiohttp uses no proxy by default.
        headers, settings = {"Accept": "application/json"}, self._settings
        form = request_form(settings.oauth_scope, settings.oauth_audience, settings.oauth_extra)
        if (key_file := settings.oauth_client_key_file) is None:
            headers["Authorization"] = f"Basic {self._credentials()}"
        else:
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(key_file)}
        async with (
            aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(ssl=self._trusted())) as client,
            client.post(url, data=form, headers=headers, allow_redirects=False) as response,
        ):
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > LONGEST_BODY:
                    raise NoAccessToken(
                        f"OAUTH_ANSWER: the token endpoint at {url.host} answered with more than {LONGEST_BODY} bytes"
                    )
            return response.status, bytes(received)

    def _credentials(self) -> str:
        path = self._settings.oauth_client_secret_file
        try:
            secret = read_or_last_good(path) if path else ""
        except OSError as error:
            raise NoAccessToken(
                f"OAUTH_FILE: {self._section}.oauth_client_secret_file: {path} could not be read ({error.strerror})"
            ) from None
        credentials = basic_credentials(str(self._settings.oauth_client_id), secret)
        hide(secret, credentials)
        return credentials

    def _assertion(self, key_file: Path) -> str:
        """Return a new proof that we hold the key, the last good one if its file is unusable."""
        settings = self._settings
        try:
            pem = small_file.read(key_file, MAX_PEM_BYTES)
            if self._key is None or pem != self._pem:  # to check a key takes long
                self._key, self._pem = read_key(pem), pem
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or error
            problem = f"{self._section}.oauth_client_key_file: {key_file} could not be used ({cause})"
            if self._key is None:
                raise NoAccessToken(f"OAUTH_FILE: {problem}") from None
            log.warning("credentials_unreadable", problems=[problem], used="what was read before")
        claims = assertion_claims(
            str(settings.oauth_client_id),
            settings.oauth_assertion_audience or str(settings.oauth_token_url),
            now=int(time.time()),
            unique=uuid.uuid4().hex,
        )
        assertion = sign(claims, self._key, settings.oauth_client_key_id)
        hide_issued(assertion, kind=f"{self._section} client assertion")
        return assertion

    def _trusted(self) -> ssl.SSLContext:
        """Return whom to trust, the last good authorities if their file is unusable."""
        path = self._settings.oauth_ca_file
        if path is None:
            return ssl.create_default_context()
        try:
            # The text between certificates may be of any script; Python takes ASCII only.
            pem = small_file.read(path, MAX_PEM_BYTES).decode("ascii", "ignore")
            # Python takes an empty text for none, and would trust the system's authorities.
            self._authorities = ssl.create_default_context(cadata=pem or "\n")
        except (OSError, ValueError):
            problem = f"{self._section}.oauth_ca_file: {path} holds no certificate that can be read"
            if self._authorities is None:
                raise NoAccessToken(f"OAUTH_FILE: {problem}") from None
            log.warning("credentials_unreadable", problems=[problem], used="what was read before")
        return self._authorities
