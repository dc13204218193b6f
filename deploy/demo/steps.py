"""Steps of a conversation: each is awaited within a bound, and becomes one line of the transcript.

A step is a coroutine that takes the cast and returns what was seen; it raises `Unmet` when it saw something else. It
waits by looking at a condition again and again, never by sleeping and hoping.
"""

import asyncio
import time
from dataclasses import dataclass

_POLL = 0.02
_STEPS = []
_awaiting = ""


class Unmet(Exception):
    """What was seen is not what had to be."""


@dataclass
class Step:
    """One line of the transcript."""

    who: str
    what: str
    within: float
    play: callable

    @property
    def name(self):
        """By which it can be chosen."""
        return self.play.__name__


def step(who, what, within=10.0):
    """Adds a coroutine to the conversation, behind those before it."""

    def add(play):
        _STEPS.append(Step(who, what, within, play))
        return play

    return add


def all_steps():
    """The whole conversation."""
    return list(_STEPS)


async def until(expected, look):
    """Waits until `look` finds something and returns it; `expected` says what, or tells it when it never came."""
    global _awaiting
    _awaiting = expected
    while not (found := look()):
        await asyncio.sleep(_POLL)
    return found


def require(held, otherwise):
    """Raises `Unmet` unless it held."""
    if not held:
        raise Unmet(otherwise)


async def run(steps, cast, until_failure=False):
    """Plays the steps in order; returns how many passed and how many failed."""
    passed = failed = 0
    for each in steps:
        began = time.monotonic()
        outcome, seen = await _play(each, cast)
        took = time.monotonic() - began
        print(
            f"{time.strftime('%H:%M:%S')}  {outcome:<6} {took:5.2f} s  {each.who:<33}  {each.what}: {seen}", flush=True
        )
        passed, failed = passed + (outcome == "ok"), failed + (outcome != "ok")
        if failed and until_failure:
            break
    return passed, failed


async def _play(each, cast):
    global _awaiting
    _awaiting = "it is over"
    try:
        return "ok", await asyncio.wait_for(each.play(cast), each.within)
    except TimeoutError:
        expected = _awaiting() if callable(_awaiting) else _awaiting
        return "FAILED", f"waited {each.within:.0f} s until {expected}"
    except Unmet as unmet:
        return "FAILED", str(unmet)
    except Exception as error:  # the other steps still have something to say
        return "FAILED", f"{type(error).__name__}: {error}"
