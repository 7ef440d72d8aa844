"""Secrets that are read are hidden from then on."""

from connector.app.secrets import Secrets
from connector.core.kis.approval import Granted
from connector.logs import clean
from connector.settings import RegistrySettings
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


def test_a_damaged_secret_is_told_of_and_a_certificate_may_have_lines(tmp_path):
    """A password of two lines is a problem, because it would not be used; a key's file has many."""
    for name in ("password", "key"):
        (tmp_path / name).write_text("canary\n")
    registry = RegistrySettings(
        url="https://h",
        username="me",
        password_file=tmp_path / "password",
        certificate_file=tmp_path / "key",
        key_file=tmp_path / "key",
    )
    for name in ("password", "key"):
        (tmp_path / name).write_text("canary\ncanary\n")
    found = Secrets(settings_of_one(tmp_path).model_copy(update={"registry": registry})).find_problems()
    assert found[tmp_path / "key"] is None
    assert found[tmp_path / "password"].startswith(f"{tmp_path / 'password'}: holds several lines")
    assert "canary" not in str(found)
