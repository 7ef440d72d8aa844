"""Judges the app key pair that every REST call names."""

from collections.abc import Sequence
from typing import Any


class AppKeys:
    """The app keys that the simulator knows, by number. Without pairs it accepts any two texts."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._index = {pair[0]: number for number, pair in enumerate(pairs)}
        self._secrets = dict(pairs)

    def judge(self, fields: dict[str, Any], secret_name: str) -> tuple[int | None, str | None]:
        """Return the app key's number and the EGW code that refuses the pair.

        The number is None if the app key is unknown; the code is None if the pair is right.
        """
        appkey, secret, grant = (fields.get(name) for name in ("appkey", secret_name, "grant_type"))
        for code, value in (("EGW00102", appkey), ("EGW00104", secret), ("EGW00115", grant)):
            if not isinstance(value, str) or not value:
                return None, code
        if grant != "client_credentials":
            return None, "EGW00116"
        if self._secrets:
            if appkey not in self._secrets:
                return None, "EGW00103"
            if secret != self._secrets[str(appkey)]:
                return self._index[str(appkey)], "EGW00105"
        return self._index.setdefault(str(appkey), len(self._index)), None
