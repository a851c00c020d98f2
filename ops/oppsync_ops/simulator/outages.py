"""What a fault asks of the listening socket; the server carries it out once the answer is on its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outage:
    """Nobody listens for ``seconds``. A restart also breaks every open connection, calls in progress included."""

    seconds: float
    restart: bool
