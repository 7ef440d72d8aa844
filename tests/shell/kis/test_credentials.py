"""App keys from a folder or from the environment."""

import base64
import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector import small_file
from connector.errors import ConfigurationError
from connector.logs import clean
from connector.settings import KisSettings, load
from connector.shell.kis import credentials as credentials_module
from connector.shell.kis.credentials import AppKey, Credentials, require_credentials


def fill(folder, files):
    """Write files into the folder and return settings that name it."""
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return load(None, {"KIS_BOND_KIS__CREDENTIALS_DIR": str(folder)})


def pair(slot):
    """Return the files of one pair."""
    return {f"appkey-{slot}": f"key{slot}\n", f"appsecret-{slot}": f"secret{slot}"}


def refusal(settings):
    """Return the problems with which the credentials are refused."""
    with pytest.raises(ConfigurationError) as refused:
        require_credentials(settings)
    return list(refused.value.problems)


def test_a_folder_that_may_not_be_searched_has_no_pair(tmp_path, monkeypatch):
    """Whoever counts goes on; the problem is named where the files are read."""
    settings = fill(tmp_path, pair(0))
    monkeypatch.setattr(Path, "stat", forbid)
    assert Credentials(settings.kis).count() == 0


def forbid(path, **_):
    """Refuse a path as the system refuses one in a folder that may not be searched."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_folder(tmp_path):
    """Pair k of the folder belongs to slot k; one trailing newline is removed."""
    credentials = require_credentials(fill(tmp_path, pair(0) | pair(1)))
    assert credentials.count() == 2
    assert credentials.read(1) == AppKey("key1", "secret1")


def test_a_byte_order_mark_is_no_part_of_a_value(tmp_path):
    """The mark that an editor writes before the value is removed."""
    files = {"appkey-0": b"\xef\xbb\xbfkey\n", "appsecret-0": b"\xef\xbb\xbfsecret\r\n"}
    assert require_credentials(fill(tmp_path, files)).read(0) == AppKey("key", "secret")


def test_the_pair_as_an_http_credential_is_hidden(tmp_path):
    """No log line shows app key and app secret as HTTP's Basic authentication spells them."""
    require_credentials(fill(tmp_path, pair(0))).read(0)
    both = base64.b64encode(b"key0:secret0").decode()
    assert both not in clean(f"somebody said {both} aloud")


def test_files_are_read_anew(tmp_path):
    """A rotated pair is used at the next reading."""
    credentials = require_credentials(fill(tmp_path, pair(0)))
    fill(tmp_path, {"appkey-0": "rotated", "appsecret-0": "too\r\n"})
    assert credentials.read(0) == AppKey("rotated", "too")


def test_environment():
    """One pair can come from the environment, for slot 0."""
    settings = load(None, {"KIS_BOND_KIS__APPKEY": "k\n", "KIS_BOND_KIS__APPSECRET": "s"})
    credentials = require_credentials(settings)
    assert credentials.count() == 1
    assert credentials.read(0) == AppKey("k", "s")
    with pytest.raises(ConfigurationError):
        credentials.read(1)


def test_a_file_that_vanishes_takes_no_slot_away(tmp_path):
    """The count of pairs grows with a new pair but never falls; each faulty file is reported."""
    credentials = require_credentials(fill(tmp_path, pair(0) | pair(1)))
    assert credentials.count() == 2
    (tmp_path / "appkey-0").unlink()
    (tmp_path / "appsecret-1").write_text("can ary")
    fill(tmp_path, pair(2))
    assert credentials.count() == 3
    problems = {path.name: problem for path, problem in credentials.check_files().items() if problem}
    assert problems.keys() == {"appkey-0", "appsecret-1"}
    assert "CRED_MISSING" in problems["appkey-0"]
    assert "canary" not in str(problems)


def test_a_pair_from_the_environment_has_no_files():
    """Without a folder there are no files to check."""
    settings = load(None, {"KIS_BOND_KIS__APPKEY": "k", "KIS_BOND_KIS__APPSECRET": "s"})
    credentials = require_credentials(settings)
    assert (credentials.count(), credentials.check_files()) == (1, {})


def test_none_counted_without_credentials():
    """Commands that need no credentials count none."""
    assert Credentials(KisSettings()).count() == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ["holds no app key"]),
        ({"appkey-0": "k"}, ["appsecret-0: CRED_MISSING: was not found"]),
        (pair(0) | {"appsecret-1": "s"}, ["appkey-1: CRED_MISSING: was not found"]),
        (pair(0) | pair(2), ["pair 1 is missing while later ones exist"]),
        (pair(1), ["pair 0 is missing"]),
        (pair(0) | {"appkey": "k"}, ["appkey: names no slot"]),
        (pair(0) | {"appkey-01": "k"}, ["appkey-01: names no slot"]),
        (
            {"appkey-0": "", "appsecret-0": "\n"},
            ["appkey-0: CRED_EMPTY: is empty", "appsecret-0: CRED_EMPTY: is empty"],
        ),
        (
            {"appkey-0": "can ary", "appsecret-0": "canary\n\n"},
            ["appkey-0: CRED_CHARACTERS: holds blanks", "appsecret-0: CRED_CHARACTERS: holds blanks"],
        ),
        (
            {"appkey-0": "\u200bcanary", "appsecret-0": b"\xff\xfe"},
            ["appkey-0: CRED_CHARACTERS: holds blanks", "appsecret-0: CRED_NOT_TEXT: is not text"],
        ),
        (
            {"appkey-0": '"canary"', "appsecret-0": "canary'"},
            ["appkey-0: CRED_CHARACTERS: holds quotes", "appsecret-0: CRED_CHARACTERS: holds quotes"],
        ),
        (
            {"appkey-0": "appkey=canary", "appsecret-0": "KIS_BOND_KIS__APPSECRET:canary"},
            [
                "appkey-0: CRED_CHARACTERS: holds quotes or a name",
                "appsecret-0: CRED_CHARACTERS: holds quotes or a name",
            ],
        ),
        (
            pair(1) | {"appkey-0": "canary", "appsecret-0": "a", "appkey-2": "canary\n", "appsecret-2": "b"},
            ["appkey-2: is the same app key as "],
        ),
        (
            {"appkey-99999": "k", "appsecret-99999": "s"},
            ["pair 0 is missing", "pair 1 is missing", "pair 2 is missing"],
        ),
    ],
)
def test_folder_refusals(tmp_path, files, expected):
    """Every unusable file of a folder is named with what to do, never with its content."""
    problems = refusal(fill(tmp_path, files))
    assert len(problems) == len(expected)
    for problem, part in zip(problems, expected, strict=True):
        assert part in problem
        assert "canary" not in problem


def test_a_secret_may_end_as_base64_does(tmp_path):
    """The signs of base64 are part of an app secret, wherever they stand."""
    files = {"appkey-0": "PSappkey", "appsecret-0": "app/secret+x=="}
    assert require_credentials(fill(tmp_path, files)).read(0) == AppKey("PSappkey", "app/secret+x==")


def test_missing_folder(tmp_path):
    """A missing folder is reported as such."""
    (problem,) = refusal(load(None, {"KIS_BOND_KIS__CREDENTIALS_DIR": str(tmp_path / "no")}))
    assert "could not be read (No such file or directory)" in problem


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "no KIS credentials were given"),
        ({"APPKEY": "canary"}, "kis.appsecret: is missing beside kis.appkey"),
        ({"APPSECRET": "canary"}, "kis.appkey: is missing beside kis.appsecret"),
        ({"APPKEY": "can ary", "APPSECRET": "s"}, "kis.appkey: CRED_CHARACTERS: holds blanks"),
    ],
)
def test_environment_refusals(given, expected):
    """Nothing at all, half a pair and a malformed value are refused."""
    (problem,) = refusal(load(None, {f"KIS_BOND_KIS__{name}": value for name, value in given.items()}))
    assert expected in problem
    assert "canary" not in problem


def test_both_ways_at_once(tmp_path):
    """A folder together with a pair from the environment is refused."""
    fill(tmp_path, pair(0))
    settings = load(None, {"KIS_BOND_KIS__CREDENTIALS_DIR": str(tmp_path), "KIS_BOND_KIS__APPKEY": "canary"})
    (problem,) = refusal(settings)
    assert "kis.credentials_dir: was given together with kis.appkey" in problem


def test_repr_shows_nothing():
    """Neither half of an app key shows in a repr."""
    assert "canary" not in f"{AppKey('canary-key', 'canary-secret')!r} {AppKey('canary-key', 'canary-secret')}"


@pytest.fixture
def mounted(tmp_path):
    """Give a mounted Secret of two versions, of which the old one is the current one."""
    for version in ("old", "new"):
        (tmp_path / f"..{version}").mkdir()
        for part in ("appkey", "appsecret"):
            (tmp_path / f"..{version}" / f"{part}-0").write_text(f"{version}-{part}")
    (tmp_path / "..data").symlink_to("..old")
    for name in ("appkey-0", "appsecret-0"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    return tmp_path


@pytest.mark.parametrize(("is_removed", "whole"), [(False, "old"), (True, "new")])
def test_a_pair_is_read_from_one_version(mounted, monkeypatch, is_removed, whole):
    """A swap of the mounted Secret between the two reads gives the old or the new pair."""
    swaps = []

    def read_and_swap(path, most):
        content = small_file.read(path, most)
        if not swaps:
            (mounted / "..tmp").symlink_to("..new")
            swaps.append((mounted / "..tmp").rename(mounted / "..data"))
            if is_removed:
                shutil.rmtree(mounted / "..old")
        return content

    monkeypatch.setattr(credentials_module, "small_file", SimpleNamespace(**vars(small_file) | {"read": read_and_swap}))
    pair = Credentials(fill(mounted, {}).kis).read(0)
    assert swaps
    assert pair == AppKey(f"{whole}-appkey", f"{whole}-appsecret")


def test_a_problem_names_the_file_of_the_settings(mounted):
    """An unusable file of a mounted Secret is named by its path in the folder."""
    (mounted / "..data").unlink()
    (mounted / "..data").symlink_to("..new")
    (mounted / "..new" / "appsecret-0").write_text("")
    problems = refusal(fill(mounted, {}))
    assert [problem.partition(": ")[0] for problem in problems] == [str(mounted / "appsecret-0")]


def test_the_name_of_a_file_forges_no_line(tmp_path):
    """A line break in a file's name is shown as an escape."""
    (problem,) = [each for each in refusal(fill(tmp_path, pair(0) | {"appkey-0\nforged": "x"})) if "forged" in each]
    assert r"appkey-0\nforged: names no slot" in problem
