"""One time step at a time, from NumPy to NumPy: for real-time use."""

from .stream import Stream, stream

__all__ = ["Stream", "stream"]
