"""Tests of the topics that the `subs` commands read and write."""

import pytest

A, B = "KR103502GA34", "KR103502GD31"


@pytest.mark.parametrize("arguments", [["ls"], ["add", A], ["add", A, "--list", "desk"], ["rm", A], ["watch"]])
def test_kafka_away(cli, arguments):
    """If Kafka cannot be reached, the command ends with 5 and names the address."""
    result = cli("subs", *arguments, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["ls"], ["add", A], ["rm", A], ["watch"]])
def test_missing_topics(cli, variables, arguments):
    """Without the topics the command ends with 5 and says how to create them."""
    result = cli("subs", *arguments, **variables)
    assert result.exit_code == 5
    assert "kis-bond topics init" in result.stderr
