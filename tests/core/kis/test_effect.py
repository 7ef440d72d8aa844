from connector.core.kis.effect import Echo, Send


def test_a_request_is_not_shown():
    """The repr of a request hides its text, which holds the approval key; an echo shows its own."""
    assert "canary" not in repr(Send("canary"))
    assert "PINGPONG" in repr(Echo("PINGPONG"))
