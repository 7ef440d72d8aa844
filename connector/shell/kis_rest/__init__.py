"""KIS's REST calls: a bond's volume, its latest trades, and the access token they need."""

from connector.shell.kis_rest.client import RestClient
from connector.shell.kis_rest.token_file import TokenFile

__all__ = ["RestClient", "TokenFile"]
