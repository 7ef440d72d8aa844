"""The file that keeps the access token."""

import pytest

from connector.core.kis.access_token import AccessToken
from connector.shell.kis_rest import TokenFile

TOKEN = AccessToken("secret-token", "0123456789abcdef", 1_800_000_000.0)


def test_a_token_comes_back(tmp_path):
    """What was written is read, and a second token replaces the first."""
    file = TokenFile(tmp_path / "folder" / "token.json")
    assert file.read() is None
    file.write(TOKEN)
    assert file.read() == TOKEN
    other = AccessToken("other", TOKEN.owner, TOKEN.ends)
    file.write(other)
    assert file.read() == other
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["token.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"token":1,"owner":"a","ends":2}', "[" * 9_000, "x" * 20_000])
def test_another_content_is_no_token(tmp_path, text):
    """A file with another content is as good as none."""
    path = tmp_path / "token.json"
    path.write_text(text)
    path.chmod(0o600)
    assert TokenFile(path).read() is None


def test_a_folder_that_cannot_be_written(tmp_path):
    """If the file cannot be written, the token still serves this process."""
    (tmp_path / "file").write_text("")
    TokenFile(tmp_path / "file" / "token.json").write(TOKEN)
    assert (tmp_path / "file").read_text() == ""


def test_a_link_is_not_followed(tmp_path):
    """A symbolic link is replaced, and its target keeps its content."""
    target = tmp_path / "target"
    target.write_text("kept")
    path = tmp_path / "token.json"
    path.symlink_to(target)
    TokenFile(path).write(TOKEN)
    assert (target.read_text(), path.is_symlink(), TokenFile(path).read()) == ("kept", False, TOKEN)
