"""What a connector says of itself."""

import json

from connector.core.isin import with_check_digit

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(60)]
A, B, C = ISINS[:3]
WRONG = f"{A[:-1]}{9 - int(A[-1])}"  # a check digit is never its own complement to nine


async def _says(own, words):
    status, body = await own.ask("/readyz")
    return status == 503 and words in json.dumps(body)


async def test_missing_topics_are_not_ready_and_say_what_to_do(deploy):
    """Without topics the connector runs, is alive, is not ready, and names the command; once they are there it becomes ready."""
    async with deploy(topics=False) as own:
        await own.start()
        await own.until(lambda: _says(own, "kis-bond topics init"))
        assert (await own.ask("/livez"))[0] == 200
        own.create_topics()
        await own.until_ready()
        assert await own.end() == 0
