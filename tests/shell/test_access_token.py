"""One access token, kept and replaced in time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from connector.core.oauth import token_of_life
from connector.logs import clean
from connector.shell import access_token
from connector.shell.access_token import KEEP_REFUSED_SECONDS, RETRY_SECONDS, NoAccessToken, TokenSource

LIFE = 300


class Provider:
    """Gives the tokens canary-token-1, canary-token-2, …, unless it is `away`."""

    def __init__(self):
        self.asked = 0
        self.life = LIFE
        self.away = None

    async def ask(self, now):
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise NoAccessToken(self.away)
        return token_of_life(f"canary-token-{self.asked}", self.life, now)


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that stands still until it is set forward."""
    now = [1000.0]
    monkeypatch.setattr(access_token.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def provider():
    """Give a provider."""
    return Provider()


@pytest.fixture
def source(provider):
    """Give the token source of the provider."""
    return TokenSource(provider.ask, "kafka")


async def test_a_token_is_kept_until_four_fifths_of_its_life(provider, source, clock):
    """Within 80 % of its life a token is asked for once, by many at a time; then it is replaced."""
    assert set(await asyncio.gather(*(source.token() for _ in range(5)))) == {"canary-token-1"}
    clock[0] += 0.79 * LIFE
    assert await source.token() == "canary-token-1"
    clock[0] += 0.02 * LIFE
    assert await source.token() == "canary-token-2"
    assert provider.asked == 2


async def test_the_logs_hide_each_token(source):
    """From the moment a token is there, no log line shows it."""
    await source.token()
    assert "canary" not in clean("sent canary-token-1 to a broker")


async def test_a_provider_that_is_away_costs_nothing_until_the_tokens_end(provider, source, clock):
    """The old token is used to its end; after that the failure is the provider's."""
    await source.token()
    provider.away = "OAUTH_UNREACHABLE: gone"
    clock[0] += 0.9 * LIFE
    assert await source.token() == "canary-token-1"
    clock[0] += 0.1 * LIFE
    with pytest.raises(NoAccessToken, match="OAUTH_UNREACHABLE: gone"):
        await source.token()


async def test_after_a_failure_the_provider_is_left_alone_for_a_moment(provider, source, clock):
    """Many clients that need a token do not ask again at once, and one log line tells why."""
    provider.away = "OAUTH_REFUSED: no"
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(NoAccessToken):
                await source.token()
    assert provider.asked == 1
    assert [(line["section"], line["error"]) for line in logs] == [("kafka", "OAUTH_REFUSED: no")]
    provider.away = None
    clock[0] += RETRY_SECONDS
    assert await source.token() == "canary-token-2"


async def test_a_refused_token_is_replaced_unless_it_is_new(source, clock):
    """After a change of keys brokers refuse old tokens; a new one that is refused is kept."""
    await source.token()
    assert not source.forget()
    assert await source.token() == "canary-token-1"
    clock[0] += KEEP_REFUSED_SECONDS
    assert source.forget()
    assert await source.token() == "canary-token-2"


async def test_a_refused_token_is_used_while_there_is_no_other(provider, source, clock):
    """One broker may refuse what another one takes, so a token is never given up for nothing."""
    source.forget()
    await source.token()
    clock[0] += KEEP_REFUSED_SECONDS
    source.forget()
    provider.away = "OAUTH_UNREACHABLE: gone"
    assert await source.token() == "canary-token-1"
    assert provider.asked == 2


async def test_a_token_that_ended_on_its_way(provider, source):
    """A token without any life left is not used, and the failure says so."""
    provider.life = 0
    with pytest.raises(NoAccessToken, match="the token ended before it could be used"):
        await source.token()
