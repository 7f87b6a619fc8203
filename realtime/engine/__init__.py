"""The device, its one thread, and how to load a checkpoint onto it."""

from realtime.engine.engine import Engine, Stream
from realtime.engine.loading import describe_capacity, load_engine

__all__ = ["Engine", "Stream", "describe_capacity", "load_engine"]
