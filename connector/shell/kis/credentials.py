"""The app keys: how many there are, whether each is usable, and their current text."""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector import small_file
from connector.core.printable import printable
from connector.errors import ConfigurationError
from connector.logs import hide

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from connector.settings import KisSettings, Settings

_FILE = re.compile(r"(appkey|appsecret)-(0|[1-9][0-9]*)")
# A line of a shell or of YAML, such as appkey=... or KIS_BOND_KIS__APPKEY: ...
_NAMED = re.compile(r"(?:KIS_BOND_KIS__)?app_?(?:key|secret)(?:-[0-9]+)?[=:]", re.IGNORECASE)
_QUOTE = re.compile("[\"'`]")
# An app secret has 180 characters.
_MOST_BYTES = 4096
# The link in a mounted Secret that leads to its current version.
_VERSION = "..data"
_NONE_AT_ALL = (
    "kis.credentials_dir: no KIS credentials were given: name a folder with the files appkey-0 and appsecret-0, "
    "or set KIS_BOND_KIS__APPKEY and KIS_BOND_KIS__APPSECRET"
)


@dataclass(frozen=True, slots=True)
class AppKey:
    """One app key and its secret; neither shows in a repr."""

    appkey: str = field(repr=False)
    appsecret: str = field(repr=False)


class Credentials:
    """The app keys of `kis.credentials_dir`, or the pair `kis.appkey` and `kis.appsecret`.

    Pair k belongs to slot k.
    """

    def __init__(self, kis: KisSettings) -> None:
        self._kis = kis
        self._pairs = 0

    def count(self) -> int:
        """Return how many pairs come before the first gap; the count never falls."""
        folder = self._kis.credentials_dir
        if folder is None:
            return int(self._kis.appkey is not None and self._kis.appsecret is not None)
        with contextlib.suppress(PermissionError):  # of a folder that this user may not search
            while all(path.exists() for path in _files(folder, self._pairs)):
                self._pairs += 1
        return self._pairs

    def check_files(self) -> dict[Path, str | None]:
        """Return each file of the pairs with its problem, or with None if it has no problem."""
        folder = self._kis.credentials_dir
        if folder is None:
            return {}
        found: dict[Path, str | None] = {}
        for slot in range(self._pairs):
            read = _read_pair(folder, slot)
            found |= {path: problem for path, (_, problem) in zip(_files(folder, slot), read, strict=True)}
        return found

    def read(self, slot: int) -> AppKey:
        """Read the pair of `slot` at each call, so that the next connection uses a rotated pair.

        Both values are hidden in all logs and messages. Raises ConfigurationError, which names each
        unusable file but never quotes the file.
        """
        if self._kis.credentials_dir is not None:
            return _pair(_read_pair(self._kis.credentials_dir, slot))
        if slot == 0 and self._kis.appkey and self._kis.appsecret:
            given = {"kis.appkey": self._kis.appkey, "kis.appsecret": self._kis.appsecret}
            return _pair([_judge(name, _trim(value.get_secret_value())) for name, value in given.items()])
        raise ConfigurationError([_NONE_AT_ALL])


def require_credentials(settings: Settings) -> Credentials:
    """Return the credentials if every pair is usable.

    Otherwise raises ConfigurationError with every mistake. A mistake is the use of both ways at
    once, half a pair, a gap in the numbering, an unusable file, or no key at all.
    """
    if problems := app_key_problems(settings):
        raise ConfigurationError(problems)
    return Credentials(settings.kis)


def app_key_problems(settings: Settings) -> list[str]:
    """Return everything that is wrong with the app keys."""
    return [printable(problem) for problem in _problems(settings.kis)]


def _problems(kis: KisSettings) -> Iterator[str]:
    named = [name for name in ("appkey", "appsecret") if getattr(kis, name) is not None]
    if kis.credentials_dir is not None:
        if named:
            yield f"kis.credentials_dir: was given together with kis.{named[0]}: keep one of the two ways"
        slots = yield from _folder_problems(kis.credentials_dir)
        yield from _pairs_problems(kis.credentials_dir, slots)
    elif not named:
        yield _NONE_AT_ALL
    elif len(named) == 1:
        missing = "appsecret" if named == ["appkey"] else "appkey"
        yield f"kis.{missing}: is missing beside kis.{named[0]}: set it too"
    else:
        try:
            Credentials(kis).read(0)
        except ConfigurationError as error:
            yield from error.problems


def _folder_problems(folder: Path) -> Generator[str, None, list[int]]:
    """Yield what is wrong with the names of the files, and return the slots that have a file."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(("appkey", "appsecret")))
    except OSError as error:
        yield (
            f"kis.credentials_dir: {folder} CRED_UNREADABLE: could not be read ({error.strerror}): "
            "correct the path or its permissions"
        )
        return []
    slots = {int(match[2]) for match in map(_FILE.fullmatch, names) if match}
    for name in names:
        if not _FILE.fullmatch(name):
            yield f"{folder / name}: names no slot: call it appkey-0 or appsecret-0, the next pair -1, and so on"
    if not slots:
        yield f"kis.credentials_dir: {folder} holds no app key: put the files appkey-0 and appsecret-0 there"
    # Report each missing number below the highest. Stop at the number of files, because a file may
    # be called appkey-999999.
    for slot in range(min(max(slots, default=0), len(names)) + 1 if slots else 0):
        if slot not in slots:
            yield (
                f"{folder / f'appkey-{slot}'}: pair {slot} is missing while later ones exist: "
                "number the pairs from 0 without gaps"
            )
    return sorted(slots)


def _pairs_problems(folder: Path, slots: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with each pair. None may come twice: KIS gives an app key one session."""
    first: dict[str, Path] = {}
    for slot in slots:
        found = _read_pair(folder, slot)
        try:
            _pair(found)
        except ConfigurationError as error:
            yield from error.problems
        path, (appkey, problem) = _files(folder, slot)[0], found[0]
        if problem is None and first.setdefault(appkey, path) != path:
            yield f"{path}: is the same app key as {first[appkey]}: KIS gives each one session, so remove one pair"


def _files(folder: Path, slot: int) -> list[Path]:
    return [folder / f"{part}-{slot}" for part in ("appkey", "appsecret")]


def _pair(found: Sequence[tuple[str, str | None]]) -> AppKey:
    if problems := [problem for _, problem in found if problem]:
        raise ConfigurationError(problems)
    app_key = AppKey(found[0][0], found[1][0])
    both = base64.b64encode(f"{app_key.appkey}:{app_key.appsecret}".encode("utf-8", "surrogatepass"))
    hide(app_key.appkey, app_key.appsecret, both.decode())
    return app_key


def _read_pair(folder: Path, slot: int) -> list[tuple[str, str | None]]:
    """Read both files of a pair from one version of a mounted Secret.

    Kubernetes publishes a new version by replacing the link `..data`, then removes the old version.
    """
    while True:
        version = _link(folder / _VERSION)
        found = [_read(path, _within(path, version)) for path in _files(folder, slot)]
        if version == _link(folder / _VERSION) or not any(problem for _, problem in found):
            return found


def _within(path: Path, version: Path | None) -> Path:
    """Return the file's path in that version; a file from outside the Secret keeps its path."""
    link = _link(path)
    if version is None or link is None or link.parts[:1] != (_VERSION,):
        return path
    return path.parent.joinpath(version, *link.parts[1:])


def _link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _read(path: Path, where: Path) -> tuple[str, str | None]:
    """Read the file at `where`; problems call the file `path`, the name that users know."""
    try:
        return _judge(str(path), _trim(small_file.read(where, _MOST_BYTES).decode("utf-8-sig")))
    except FileNotFoundError:
        return "", f"{path}: CRED_MISSING: was not found: an app key needs its appkey and its appsecret file"
    except small_file.TooLarge:
        return _too_long(str(path))
    except OSError as error:
        return "", f"{path}: CRED_UNREADABLE: could not be read ({error.strerror}): correct the file or its permissions"
    except UnicodeDecodeError:
        return "", f"{path}: CRED_NOT_TEXT: is not text: write the value as plain ASCII text"


def _too_long(name: str) -> tuple[str, str]:
    return "", f"{name}: CRED_CHARACTERS: is longer than any value KIS issues: write nothing but the value"


def _trim(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _judge(name: str, text: str) -> tuple[str, str | None]:
    if not text:
        return "", f"{name}: CRED_EMPTY: is empty: write the value KIS issued into it"
    if len(text) > _MOST_BYTES:
        return _too_long(name)
    if not text.isascii() or not text.isprintable() or " " in text:
        problem = "CRED_CHARACTERS: holds blanks, line breaks or other characters KIS never issues"
        return "", f"{name}: {problem}: write nothing but the value"
    if _QUOTE.search(text) or _NAMED.match(text):
        return "", f"{name}: CRED_CHARACTERS: holds quotes or a name beside the value: write nothing but the value"
    return text, None
