"""The simulator's settings."""

from simulator.settings import SimulatorSettings


def test_defaults_are_kis():
    """By default the simulator has KIS's limits and sends nothing by itself."""
    settings = SimulatorSettings()
    assert (settings.capacity, settings.pingpong_seconds, settings.pingpong_timeout_seconds, settings.rate) == (
        41,
        10,
        100,
        0,
    )


def test_app_keys_stay_out_of_repr():
    """The repr shows no app key."""
    assert "hidden" not in repr(SimulatorSettings(app_keys=[("hidden", "hidden")]))
