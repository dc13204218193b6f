"""A SIP user as a conversation knows one, whatever software it is: what it can do, and what has reached it."""

import asyncio
import time
from dataclasses import dataclass, field

_POLL = 0.02


class Unmet(Exception):
    """What was seen is not what had to be."""


@dataclass
class Received:
    """A message that reached the user."""

    sender: str
    text: str
    content_type: str


@dataclass
class View:
    """What the user is shown of somebody it watches."""

    state: str = ""
    open: bool = False
    activity: str = ""
    notes: list = field(default_factory=list)

    def __str__(self):
        parts = [self.activity, *(f"“{note}”" for note in self.notes)]
        return " ".join(["open" if self.open else "closed", *filter(None, parts)])


class Agent:
    """One SIP user. `can` names what the software is able to do; the scenarios that need more are left out."""

    can = frozenset()
    software = ""

    def __init__(self, address):
        self.address = address
        self.messages = []
        self.typing = {}

    def read(self, text):
        """The message with this text, if it has arrived."""
        return next((message for message in self.messages if message.text == text), None)


async def until(expected, look, within=10.0):
    """Waits until `look` finds something, and returns it."""
    give_up_at = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise Unmet(f"waited {within:.0f} s until {expected() if callable(expected) else expected}")
        await asyncio.sleep(_POLL)
    return found


def require(held, otherwise):
    """Raises `Unmet` unless it held."""
    if not held:
        raise Unmet(otherwise)
