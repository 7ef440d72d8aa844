"""The REST call that issues WebSocket approval keys."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator import rest
from simulator.app_keys import AppKeys
from simulator.faults import Faults
from simulator.settings import SimulatorSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """One approval call.

    `at` is its time in ns since 1970. `app_key` is the number of the app key, None if unknown.
    `code` says why the call was refused; it is None if the call was granted.
    """

    at: int
    app_key: int | None
    code: str | None


@dataclass(slots=True)
class _Issued:
    app_key: int
    expires: float


class Approvals:
    """The approval keys in force: the app key of each, and when it expires."""

    def __init__(self, settings: SimulatorSettings, app_keys: AppKeys) -> None:
        self._settings, self._app_keys = settings, app_keys
        self._issued: dict[str, _Issued] = {}
        self._last: dict[int, float] = {}

    def ask(self, fields: dict[str, Any], now: float) -> tuple[int | None, str]:
        """Return the app key's number and a new approval key, or its number and an EGW code.

        The number is None if the app key is unknown.
        """
        number, code = self._app_keys.judge(fields, "secretkey")
        if code is not None or number is None:
            return number, code or "EGW00103"
        counted = 0 if self._settings.approvals_counted == "together" else number
        if now - self._last.get(counted, float("-inf")) < self._settings.approval_interval_seconds:
            return number, "EGW00201"
        self._last[counted] = now
        key = str(uuid.uuid4())
        self._issued[key] = _Issued(number, now + self._settings.approval_hours * 3600)
        return number, key

    def app_key_of(self, approval_key: str, now: float) -> int | None:
        """Return the number of the app key of a valid approval key, or None for another text."""
        issued = self._issued.get(approval_key)
        return issued.app_key if issued is not None and now < issued.expires else None

    @property
    def latest(self) -> str:
        """The approval key that was issued last, or "" if none was issued yet."""
        return next(reversed(self._issued), "")

    def burn(self, approval_key: str) -> None:
        """Make one approval key invalid."""
        self._issued.pop(approval_key, None)

    def expire(self) -> None:
        """Make every approval key issued so far invalid."""
        self._issued.clear()


@dataclass(slots=True)
class ApprovalCall:
    """Serves `POST /oauth2/Approval`."""

    settings: SimulatorSettings
    approvals: Approvals
    faults: Faults
    now: Callable[[], float]
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call as KIS does, or as the faults say."""
        await asyncio.sleep(self.faults.seconds("approval-slow") or 0)
        if (status := self.faults.text("approval-down")) is not None:
            self._note(None, "approval-down")
            return web.Response(status=int(status), text="Service Unavailable")
        if (replacement := self.faults.text("approval-body")) is not None:
            self._note(None, "approval-body")
            return await rest.replacement(request, replacement)
        fields = await rest.fields_of(request)
        number, answer = self.approvals.ask(fields, self.now())
        answer = self.faults.text("approval-error") or answer
        refused = answer.startswith("EGW")
        self._note(number, answer if refused else None)
        return self._refusal(answer, fields) if refused else rest.answer({"approval_key": answer})

    def _note(self, app_key: int | None, code: str | None) -> None:
        self.asked.append(Asked(time.time_ns(), app_key, code))

    def _refusal(self, code: str, fields: dict[str, Any]) -> web.Response:
        echo = self.faults.echoes("approval")
        quoted = f" {fields.get('appkey')} {fields.get('secretkey')} {self.approvals.latest}" if echo else ""
        return rest.refusal(code, self.settings.error_shape, quoted)
