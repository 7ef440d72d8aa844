"""Secrets that are read are hidden from then on."""

from connector.app.secrets import Secrets
from connector.core.kis.approval import Granted
from connector.logs import clean
from simulator import Simulator
from tests.app.settings import settings_of_one


async def test_app_keys_and_approval_keys_are_hidden(tmp_path):
    """What is read or issued appears in no text that passes the log's redaction."""
    async with Simulator() as kis:
        settings = settings_of_one(tmp_path)
        settings = settings.model_copy(
            update={"kis": settings.kis.model_copy(update={"approval_url": kis.approval_url})}
        )
        secrets = Secrets(settings)
        assert secrets.count_app_keys() == 1
        app_key = secrets.read_app_key(0)
        answer = await secrets.request_approval_key(app_key)
        assert isinstance(answer, Granted)
        said = clean(f"{app_key.appkey} and {app_key.appsecret} gave {answer.approval_key}")
    assert not any(each in said for each in (app_key.appkey, app_key.appsecret, answer.approval_key))


def test_a_pair_from_the_environment_has_no_file_to_look_at(tmp_path):
    """Only files that the settings name are looked at."""
    assert Secrets(settings_of_one(tmp_path)).find_problems() == {}
