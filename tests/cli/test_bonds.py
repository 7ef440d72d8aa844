"""`kis-bond bonds`, with files and with a server on the loopback."""

import json
import re
import threading
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connector.cli import bonds
from tests.bond_rows import ISIN, NAME, OTHER, row, sample, zipped
from tests.kafka.process import free_ports

BAD_LINES = [6, 7, 8, 9, 10]


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    """Set the date to one on which a bond of the sample is matured."""
    monkeypatch.setattr(bonds, "today", lambda: date(2026, 11, 25))


@pytest.fixture
def saved(tmp_path):
    """Return the path of the saved master."""
    return tmp_path / "cache/kis-bond/bond_code.mst"


@pytest.fixture
def source(tmp_path):
    """Return a folder with the sample, bare and as a zip."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "bond_code.mst").write_bytes(sample())
    (folder / "bond_code.mst.zip").write_bytes(zipped(sample()))
    return folder


@pytest.fixture
def url(source):
    """Serve that folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(source))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["source", "url"])
def origin(request):
    """Return the folder's path or address."""
    return str(request.getfixturevalue(request.param))


@pytest.mark.parametrize("name", ["bond_code.mst", "bond_code.mst.zip"])
def test_update(cli, saved, origin, name):
    """A master from a file or URL, bare or zipped, is saved bare; bad lines are listed."""
    result = cli("bonds", "update", "--from", f"{origin}/{name}")
    assert result.exit_code == 0
    assert result.stdout == f"4 bonds, 1 of them matured, from 10 lines. Kept at {saved}.\n"
    assert saved.read_bytes() == sample()
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"line {number}" for number in BAD_LINES]
    assert lines[3] == "line 9: is 66 bytes long instead of 82 or 106 (left out)"


def test_update_as_json(cli, source, tmp_path):
    """--json reports the figures, the path, and every line left out."""
    to = tmp_path / "elsewhere/master"
    result = cli("bonds", "update", "--from", str(source / "bond_code.mst"), "--to", str(to), "--json")
    report = json.loads(result.stdout)
    bad_rows = report.pop("bad_rows")
    assert (result.exit_code, result.stderr, report) == (
        0,
        "",
        {"bonds": 4, "matured": 1, "lines": 10, "kept_at": str(to)},
    )
    assert [bad["line"] for bad in bad_rows] == BAD_LINES
    assert bad_rows[3]["problem"] == "is 66 bytes long instead of 82 or 106"
    assert to.read_bytes() == sample()


def test_many_bad_lines(cli, tmp_path):
    """Of many bad lines the first are shown and all are counted; --json has each."""
    file = tmp_path / "master"
    file.write_bytes(row() + b"\n" + b"bad\n" * 100)
    result = cli("bonds", "update", "--from", str(file))
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 21
    assert result.stderr.splitlines()[-1] == "100 lines were left out in all; --json lists them."
    assert len(json.loads(cli("bonds", "update", "--from", str(file), "--json").stdout)["bad_rows"]) == 100


FILES = {
    "empty": (b"", "contains no bond (it is empty)."),
    "page": (b"<html>\n", "contains no bond (line 1: is 6 bytes long instead of 82 or 106)."),
    "torn.zip": (zipped(sample())[:-30], "is a zip file that cannot be opened: "),
    "two.zip": (zipped(sample(), b""), "is a zip file with 2 members instead of one."),
    "empty.zip": (zipped(b""), "contains no bond (it is empty)."),
}


@pytest.mark.parametrize("name", FILES)
def test_an_unusable_file_changes_nothing(cli, saved, source, origin, name):
    """A file without a bond ends with 2 and a sentence, and the master saved before stays."""
    content, said = FILES[name]
    (source / name).write_bytes(content)
    cli("bonds", "update", "--from", str(source / "bond_code.mst"))
    result = cli("bonds", "update", "--from", f"{origin}/{name}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{origin}/{name} {said}" in result.stderr
    assert saved.read_bytes() == sample()


@pytest.mark.parametrize(
    ("origin", "code"),
    [("missing", 2), (".", 2), ("ftp://127.0.0.1/f", 2), ("file:///etc/passwd", 2), ("HTTP://", 2), ("URL/missing", 5)],
)
def test_a_source_that_cannot_be_read(cli, saved, url, origin, code):
    """An unreadable path or scheme ends with 2, a server without the file with 5."""
    result = cli("bonds", "update", "--from", origin.replace("URL", url))
    assert (result.exit_code, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not saved.parent.exists()


def test_passwords_are_not_shown(cli, url, source):
    """A message on a bad file hides the password and the query of its URL."""
    (source / "page").write_bytes(b"<html>")
    result = cli("bonds", "update", "--from", f"{url.replace('//', '//me:canary@')}/page?token=canary")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{url.replace('//', '//********@')}/page?******** contains no bond")
    assert "canary" not in result.stderr


@pytest.mark.parametrize("source", ["https:someone:canary@h/f", "https://someone:c/anary@h", "someone:canary@h/f.zip"])
@pytest.mark.parametrize("command", [("update",), ("search", "x")])
def test_no_mistyped_url_is_shown_with_its_password(cli, command, source):
    """What may be a URL is refused, as one, and nothing of its user is shown."""
    result = cli("bonds", *command, "--from", source)
    assert result.exit_code == 2
    assert "is neither an http:// or https:// URL" in result.stderr
    assert not [part for part in ("someone", "canary", "anary") if part in result.stderr]


def test_an_unreachable_server(cli):
    """A server that cannot be reached ends with 5 and a sentence that names the URL."""
    [port] = free_ports(1)
    result = cli("bonds", "update", "--from", f"http://127.0.0.1:{port}/bond_code.mst.zip")
    assert (result.exit_code, result.stdout) == (5, "")
    assert f"127.0.0.1:{port}/bond_code.mst.zip could not be read" in result.stderr


def test_the_default_is_kis_own_address_over_tls(cli):
    """Without --from the file is loaded from KIS by https."""
    assert bonds.KIS_URL == "https://new.real.download.dws.co.kr/common/master/bond_code.mst.zip"
    assert "new.real.download.dws.co.kr" in cli("bonds", "update", "--help").stdout


def test_search(cli, source):
    """A row has ISIN, name, types, class and dates; matured bonds are marked and last."""
    cli("bonds", "update", "--from", str(source / "bond_code.mst"))
    result = cli("bonds", "search", "")
    rows = [line.rstrip() for line in result.stdout.splitlines()]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in rows] == ["isin", OTHER, ISIN, "KR6000001D33", "KR310101GC38"]
    types, classes = "treasury market (국고채권), retail (장내소매채권)", "government (국고채)"
    assert re.split(" {2,}", rows[2]) == [ISIN, NAME, types, classes, "2023-03-10", "2053-03-10"]
    assert rows[3].endswith("  -")
    assert [line.endswith("2025-03-02 matured") for line in rows] == [False, False, False, False, True]


def test_search_as_json(cli, source):
    """--json has every code with its meaning, dates or null, and the total number found."""
    result = cli("bonds", "search", "국고", "--from", str(source / "bond_code.mst.zip"), "--limit", "1", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "bonds": [
            {
                "isin": OTHER,
                "name": "국고04875-2811(23-9)",
                "listings": [
                    {
                        "type": "C0",
                        "type_text": "treasury market (국고채권)",
                        "class": "GA",
                        "class_text": "government (국고채)",
                        "interest": "03",
                        "interest_text": "coupon (이표)",
                    }
                ],
                "listed": "2023-11-10",
                "issued": "2023-11-10",
                "redeemed": "2028-11-10",
                "matured": False,
            }
        ],
        "found": 2,
    }


def test_search_shows_unknown_codes(cli, tmp_path):
    """Unknown codes are shown as they are; in JSON their meaning and a blank date are null."""
    file = tmp_path / "master"
    file.write_bytes(row("Z9", "ZZ", interest="88", redeemed=""))
    assert " Z9 " in cli("bonds", "search", "", "--file", str(file)).stdout
    [found] = json.loads(cli("bonds", "search", "", "--file", str(file), "--json").stdout)["bonds"]
    assert found["redeemed"] is None
    assert [found["listings"][0][name] for name in ("type", "type_text", "class_text", "interest_text")] == [
        "Z9",
        None,
        None,
        None,
    ]


def test_search_limit(cli, source):
    """If more bonds than the limit match, stderr says how many."""
    result = cli("bonds", "search", "KR", "--file", str(source / "bond_code.mst"), "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "2 of 4 are shown: give a longer text, or a higher --limit.\n"
    assert cli("bonds", "search", "KR", "--file", str(source / "bond_code.mst"), "--limit", "4").stderr == ""


def test_search_without_a_hit(cli, source):
    """A search without a result says so on stderr and ends with 0."""
    result = cli("bonds", "search", "없음", "--file", str(source / "bond_code.mst"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No name or ISIN of a bond contains 없음.\n")


def test_search_before_any_update(cli, saved):
    """Without a saved master search ends with 2 and says how to load one."""
    result = cli("bonds", "search", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(
        f"There is no bond master at {saved} yet. Load it from KIS with kis-bond bonds update."
    )
    assert "The demo needs none" in result.stderr


def test_a_user_without_a_home(cli, monkeypatch, source):
    """A user without a home folder has to give a place to save to, and knows no bonds."""
    monkeypatch.setattr(bonds.cache, "default_path", lambda: None)
    refused = cli("bonds", "update", "--from", str(source / "bond_code.mst"))
    assert refused.exit_code == 2
    assert "no home folder" in refused.stderr
    assert cli("bonds", "update", "--from", str(source / "bond_code.mst"), "--to", str(source / "m")).exit_code == 0
    assert bonds.known_bonds() == {}


def test_known_bonds(cli, source, capsys):
    """Other commands know the bonds of the saved master, and none before one is saved."""
    assert bonds.known_bonds() == {}
    cli("bonds", "update", "--from", str(source / "bond_code.mst"))
    known = bonds.known_bonds()
    assert (known[ISIN].name, len(known)) == (NAME, 4)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"garbage\n", None])
def test_known_bonds_of_an_unusable_file(saved, capsys, content):
    """An unusable file is one line on stderr, and no bonds are known."""
    saved.parent.mkdir(parents=True)
    saved.mkdir() if content is None else saved.write_bytes(content)
    assert bonds.known_bonds() == {}
    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    assert line.startswith(f"Bond names are not known: {saved} ")
    assert line.endswith("Load it again with kis-bond bonds update.")


def test_a_cache_folder_that_cannot_be_read(cli, monkeypatch, capsys):
    """An unreadable cache folder is a warning in other commands, and exit 2 here."""
    monkeypatch.setenv("XDG_CACHE_HOME", f"/{'x' * 300}")
    assert bonds.known_bonds() == {}
    assert "could not be read: File name too long" in capsys.readouterr().err
    result = cli("bonds", "search", "x")
    assert result.exit_code == 2
    assert "could not be read: File name too long" in result.stderr


def test_today_is_seoul_s(monkeypatch):
    """The day begins when it begins in Seoul, nine hours before the day of UTC."""
    monkeypatch.undo()
    before = datetime.now(UTC)
    today = bonds.today()
    assert today in {(each + timedelta(hours=9)).date() for each in (before, datetime.now(UTC))}
