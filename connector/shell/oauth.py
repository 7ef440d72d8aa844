"""Gets access tokens from an OpenID provider with client credentials, and keeps them."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog
from yarl import URL

from connector import small_file
from connector.core.oauth import BearerToken, basic_credentials, read_answer, request_form
from connector.core.printable import printable
from connector.logs import hide, hide_issued, peer_text
from connector.settings.secret_files import MAX_PEM_BYTES, read_secret
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    from connector.settings import OauthSettings

TIMEOUT_SECONDS: Final = 5.0
LONGEST_BODY: Final = 64 * 1024
# After a failure, the next request waits this long: several clients ask at once, and each again.
RETRY_SECONDS: Final = 2.0
KEEP_REFUSED_SECONDS: Final = 10.0

log = structlog.get_logger("connector.oauth")


class NoAccessToken(OSError):
    """The provider gave no token; the text is a sentence that says why."""


class TokenSource:
    """Keeps one token of one client. `section` is where its settings are: `kafka` or `registry`.

    A token is used until 80 % of its life, and then replaced. While the provider gives no new one,
    the old one is used to its end. The secret and the authorities are read for each request.
    """

    def __init__(self, settings: OauthSettings, section: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._section = section
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._turn = asyncio.Lock()
        self._token: BearerToken | None = None
        self._failure: NoAccessToken | None = None
        self._ask_again_at = self._asked_at = float("-inf")

    async def token(self) -> str:
        """Return a token that is valid now. Raises NoAccessToken."""
        async with self._turn:
            now = time.monotonic()
            if (self._token is None or now >= self._token.refresh_at) and now >= self._ask_again_at:
                try:
                    self._token, self._failure = await self._request(), None
                except NoAccessToken as failure:
                    self._failure, self._ask_again_at = failure, time.monotonic() + RETRY_SECONDS
                    log.warning("no_access_token", setting=f"{self._section}.oauth_token_url", error=str(failure))
            if self._token is not None and time.monotonic() < self._token.ends:
                return self._token.text
            raise NoAccessToken(str(self._failure))

    def forget(self) -> None:
        """Get a new token for the next login, because a peer refused this one.

        The provider may have changed its keys. A token that is refused while it is new is kept for
        some seconds, because another one would be refused too.
        """
        if time.monotonic() >= self._asked_at + KEEP_REFUSED_SECONDS:
            self._token = None

    async def _request(self) -> BearerToken:
        url, settings, section = URL(str(self._settings.oauth_token_url)), self._settings, self._section
        self._asked_at = time.monotonic()
        try:
            status, body = await self._post(url)
        except TimeoutError:
            raise NoAccessToken(
                f"OAUTH_TIMEOUT: the token endpoint {url} did not answer in {self._timeout.total:g} s"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = await explain_unreachable(
                error, url, address_setting=f"{section}.oauth_token_url", authority_setting=f"{section}.oauth_ca_file"
            )
            raise NoAccessToken(f"OAUTH_UNREACHABLE: no access token from {url}: {cause}") from None
        answer = read_answer(status, body, self._asked_at)
        if isinstance(answer, BearerToken):
            hide_issued(answer.text, kind=f"{section} access token")
            return answer
        raise NoAccessToken(
            f"OAUTH_REFUSED: the token endpoint {url} gave no token: {printable(peer_text(answer.said))}: check "
            f"{section}.oauth_client_id ({settings.oauth_client_id}) and {section}.oauth_client_secret_file"
        )

    async def _post(self, url: URL) -> tuple[int, bytes]:
        # A redirect would send the secret to another host. aiohttp uses no proxy by default.
        headers = {"Authorization": f"Basic {self._credentials()}", "Accept": "application/json"}
        settings = self._settings
        form = request_form(settings.oauth_scope, settings.oauth_audience, settings.oauth_extra)
        async with (
            aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(ssl=self._trusted())) as client,
            client.post(url, data=form, headers=headers, allow_redirects=False) as response,
        ):
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > LONGEST_BODY:
                    raise NoAccessToken(
                        f"OAUTH_ANSWER: the token endpoint {url} answered with more than {LONGEST_BODY} bytes"
                    )
            return response.status, bytes(received)

    def _credentials(self) -> str:
        path = self._settings.oauth_client_secret_file
        try:
            secret = read_secret(path) if path else ""
        except OSError as error:
            raise NoAccessToken(
                f"OAUTH_FILE: {self._section}.oauth_client_secret_file: {path} could not be read ({error.strerror})"
            ) from None
        credentials = basic_credentials(str(self._settings.oauth_client_id), secret)
        hide(secret, credentials)
        return credentials

    def _trusted(self) -> ssl.SSLContext:
        path = self._settings.oauth_ca_file
        if path is None:
            return ssl.create_default_context()
        try:
            return ssl.create_default_context(cadata=small_file.read(path, MAX_PEM_BYTES).decode())
        except (OSError, ValueError):
            raise NoAccessToken(
                f"OAUTH_FILE: {self._section}.oauth_ca_file: {path} holds no certificate that can be read"
            ) from None


# All clients of this process that log in alike share one source, and so one token.
_sources: Final[dict[str, TokenSource]] = {}


def source_of(settings: OauthSettings, section: str) -> TokenSource:
    """Return the token source of this client, the same for the same settings."""
    given = {name: str(value) for name, value in settings if name.startswith("oauth_")}
    return _sources.setdefault(f"{section} {sorted(given.items())}", TokenSource(settings, section))
