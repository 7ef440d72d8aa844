"""What the process shows of its secrets."""

from tests.app.metrics.samples import samples


def test_an_unreadable_secret_is_named():
    """The label is the file, the age that of its last writing."""
    value = samples()
    assert value["kis_bond_secret_unreadable", (("file", "appsecret-0"),)] == 1
    assert value["kis_bond_secret_unreadable", (("file", "appkey-0"),)] == 0
    assert 60 <= value["kis_bond_credential_age_seconds", (("file", "appkey-0"),)] < 90
