"""Tests of the names and warnings from the bond master."""

import json
from datetime import date

import pytest

from connector.cli.subs import master
from connector.core.bonds.master import Bond

A, B, C = "KR103502GA34", "KR103502GD31", "KR6000011D10"


@pytest.fixture
def _known(monkeypatch):
    """Make A a known bond, and B a matured one."""
    bonds = {
        A: Bond(A, "국고04875-2811(23-9)", (), None, None, None),
        B: Bond(B, "옛채권", (), None, None, date(2020, 1, 2)),
    }
    monkeypatch.setattr(master, "known_bonds", lambda: bonds)


@pytest.mark.usefixtures("_known")
def test_unknown_and_matured_bonds_are_warned_of(capsys):
    """Unknown and matured bonds are warned of, and other bonds are not."""
    assert set(master.warn([A, B, C])) == {B, C}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert C in said[0]
    assert "2020-01-02" in said[1]
    assert master.names() == {A: "국고04875-2811(23-9)", B: "옛채권"}


def test_without_a_master_there_are_no_warnings(capsys, monkeypatch):
    """Without a bond master there are no warnings."""
    monkeypatch.setattr(master, "known_bonds", dict)
    assert master.warn([A]) == {}
    assert capsys.readouterr().err == ""


@pytest.mark.kafka
@pytest.mark.usefixtures("_known", "topics")
def test_a_warning_refuses_nothing(cli, variables, written):
    """A matured bond is requested all the same, and --json has the warning."""
    result = cli("subs", "add", B, "--json", **variables)
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: ")
    assert set(json.loads(result.stdout)["warnings"]) == {B}
    assert written() == [(B, {})]
    assert json.loads(cli("subs", "ls", "--json", **variables).stdout)["instruments"][0]["name"] == "옛채권"
