from connector.core.cipher_key import CipherKey


def test_a_key_is_not_shown():
    """The repr and the text of a cipher key hold neither key nor IV."""
    key = CipherKey("key-canary", "iv-canary")
    assert "canary" not in f"{key} {key!r} {[key]}"
