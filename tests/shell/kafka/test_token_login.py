"""The login of aiokafka with a token."""

from aiokafka.conn import OAuthAuthenticator

from connector.shell.kafka.token_login import TokenProvider


class Source:
    """A token source that counts refusals."""

    refusals = 0

    async def token(self):
        return "t"

    def forget(self):
        self.refusals += 1


async def test_a_login_that_succeeds():
    """The token is sent, and an empty answer ends the login."""
    source = Source()
    login = OAuthAuthenticator(sasl_oauth_token_provider=TokenProvider(source))
    assert await login.step(None) == (b"n,,\x01auth=Bearer t\x01\x01", True)
    assert await login.step(b"") is None
    assert source.refusals == 0


async def test_a_refusal_is_asked_for():
    """After the broker's reason one more message asks for its error, and only one."""
    source = Source()
    login = OAuthAuthenticator(sasl_oauth_token_provider=TokenProvider(source))
    await login.step(None)
    assert await login.step(b'{"status":"invalid_token"}') == (b"\x01", True)
    assert await login.step(b"again") is None
    assert source.refusals == 1
