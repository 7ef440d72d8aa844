"""A simulated KIS on loopback."""

from simulator.server import Simulator
from simulator.settings import SimulatorSettings

__all__ = ["Simulator", "SimulatorSettings"]
