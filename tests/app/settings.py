"""Settings of a connector that is opened in the test's own process."""

from connector.settings import load


def settings_of_one(tmp_path):
    """Return the settings of a connector with one app key, at any free HTTP port."""
    given = {
        "KIS__APPKEY": "P" * 36,
        "KIS__APPSECRET": "s" * 180,
        "JOURNAL__PATH": str(tmp_path / "journal"),
        "HTTP__PORT": "0",
    }
    return load(None, {f"KIS_BOND_{name}": value for name, value in given.items()})
