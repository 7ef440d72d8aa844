"""One slot's approval keys: when to ask for one, and with which app key."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.core.kis.approval_keys import ApprovalKeys
from connector.core.kis.effect import Close
from connector.errors import ConfigurationError, CredentialsRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.core.kis.approval import Answer, AppKey
    from connector.core.kis.session import Session
    from connector.settings import KisSettings

log = structlog.get_logger("connector.kis_feed")

HOUR_SECONDS: Final = 3600.0


class KeySupply:
    """Gets approval keys for one slot, and reuses each key as long as the settings allow."""

    def __init__(
        self,
        session: Session,
        kis: KisSettings,
        read_credentials: Callable[[int], AppKey],
        request_approval_key: Callable[[AppKey], Awaitable[Answer]],
    ) -> None:
        self._session = session
        self._kis = kis
        self._read_credentials = read_credentials
        self._request = request_approval_key
        self._app_key: AppKey | None = None
        self.keys = self._no_keys()
        self.refused: CredentialsRefused | None = None

    def _no_keys(self) -> ApprovalKeys:
        return ApprovalKeys(self._kis.approval_reuse_hours * HOUR_SECONDS)

    async def key(self) -> Answer:
        """Return an approval key for a new connection, or why there is none."""
        try:
            app_key = self._read_app_key()
        except ConfigurationError as error:
            return Unavailable(None, error.problems[0])
        if (approval_key := self.keys.usable(monotonic())) is not None:
            return Granted(approval_key)
        answer = await self._ask(app_key)
        match answer:
            case Granted(approval_key):
                self._accept(approval_key)
            case Refused(code, message):
                self._refuse(code, message)
        return answer

    async def renew(self, wait: float) -> Close | None:
        """Get another approval key for the open session, after `wait` seconds.

        Ask the service until it gives a key, then return None. If KIS refuses the app key and the
        session has no active bond, return why the session has to end.
        """
        # If the session ends before it has another key, the next one must not begin with this key.
        self.keys.discard()
        due_at, pause = monotonic() + wait, self._kis.reconnect_min_seconds
        while self._app_key is not None:
            await asyncio.sleep(max(due_at, self.keys.next_issue_at) - monotonic())
            match await self._ask(self._app_key):
                case Granted(approval_key):
                    self._accept(approval_key)
                    self._session.key_reissued(approval_key, self.keys.expires_at)
                    break
                case Refused(code, message):
                    if not self._session.view.registered:
                        self._refuse(code, message)
                        return Close("refused", code, message)
                    pause = self._kis.reconnect_max_seconds
                case Unavailable(code, message):
                    pause = min(self._kis.reconnect_max_seconds, pause * 2)
            slot = self._session.slot
            log.warning("approval_key_not_renewed", slot=slot, code=code, message=message, wait_seconds=pause)
            due_at = monotonic() + pause
        return None

    async def _ask(self, app_key: AppKey) -> Answer:
        try:
            return await self._request(app_key)
        except asyncio.CancelledError:
            # The connection ended while we waited. KIS may have issued the key all the same.
            self.keys.may_be_issued(monotonic())
            raise

    def _read_app_key(self) -> AppKey:
        """Read the pair again; if that fails, return the last good pair.

        Raises ConfigurationError if no pair was ever good.
        """
        slot = self._session.slot
        try:
            app_key = self._read_credentials(slot)
        except ConfigurationError as error:
            if self._app_key is None:
                raise
            log.warning("credentials_unreadable", slot=slot, problems=error.problems, used="the pair read before")
            return self._app_key
        if self._app_key is not None and app_key != self._app_key:
            self.keys = self._no_keys()
        self._app_key = app_key
        return app_key

    def _accept(self, approval_key: str) -> None:
        self.keys.issued(approval_key, monotonic())
        self._session.app_key_accepted()
        self.refused = None

    def _refuse(self, code: str, message: str) -> None:
        # While we kept a usable approval key, we would not ask if KIS accepts the app key again.
        self.keys.discard()
        slot = self._session.slot
        self.refused = CredentialsRefused(f"KIS refused the app key of slot {slot}: {code} {message}")
