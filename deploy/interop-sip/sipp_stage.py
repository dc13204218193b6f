"""Where the scenarios of sipp are played: it stands where the pool would stand, and an XMPP user is at the other end."""

import asyncio
import time
from dataclasses import dataclass

import environment
import world
from agent import Unmet, require
from sipp_script import Script

FIRST, SECOND = environment.KAMAILIO, "127.0.10.31"
SCENARIOS = []
_PORT = 5060


@dataclass
class Scenario:
    """One line of the table."""

    name: str
    rules: tuple
    given: dict
    play: callable


def scenario(name, _role, *rules):
    """Adds a scenario behind those before it."""

    def add(play):
        SCENARIOS.append(Scenario(name, rules, getattr(play, "given", {}), play))
        return play

    return add


def given(transport=None, **settings):
    """What a scenario begins with: one transport alone; `hops`, the next hops of the gateway; `sessions`, their form.

    What waits for the end of a transaction is `slow`, and is played with one server only.
    """

    def add(play):
        play.given = {"transport": transport, **settings}
        return play

    return add


class Stage:
    """One scenario with a SIP user of its own, so that nothing is left of those before."""

    def __init__(self, name, xmpp):
        slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
        self.slug, self.user, self.xmpp = slug, f"{slug}@contoso.example", xmpp
        self._running = []

    def script(self, suffix=""):
        """An empty scenario."""
        return Script(self.slug + suffix, self.user, self.xmpp.address)

    def serve(self, script, *options, place=FIRST):
        """sipp waits for the gateway's requests."""
        return self._start(script, place, options)

    def call(self, script, *options):
        """sipp sends requests to the gateway."""
        return self._start(script, FIRST, (*options, f"{environment.GATEWAY}:{_PORT}"))

    def stop(self):
        """Ends whatever still runs, and what was agreed."""
        for each in self._running:
            each.stop()
        self.xmpp.forget(self.user)

    def _start(self, script, place, options):
        running = Sipp(script.write(environment.STATE / "sipp"), place, options)
        self._running.append(running)
        return running


class Sipp:
    """One sipp at work."""

    def __init__(self, path, place, options):
        self._stem = f"{path.with_suffix('')}-{place}"
        transport = {"udp": "u1", "tcp": "t1"}[environment.SIP]
        command = ["sipp", *options, "-sf", path, "-i", place, "-p", _PORT, "-t", transport, "-nostdin", "-trace_err",
                   "-error_file", f"{self._stem}.errors", "-trace_msg", "-message_file", f"{self._stem}.messages"]  # fmt: skip
        if "-m" not in options:
            command += ["-m", 1]
        self._log = open(f"{self._stem}.out", "wb")
        self._starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=environment.STATE
            )
        )
        self._process = None

    async def ready(self):
        """Waits until it listens."""
        self._process = await self._starting
        await asyncio.sleep(0.3)
        return self

    async def done(self, within=20.0):
        """Waits until its calls are over; what it complains of is what was not met."""
        process = self._process or await self._starting
        try:
            code = await asyncio.wait_for(process.wait(), within)
        except TimeoutError:
            raise Unmet(f"sipp was not done after {within:.0f} s{self._complaint()}") from None
        require(code == 0, f"sipp ended with {code}{self._complaint()}")

    def stop(self):
        """Ends it."""
        process = self._process
        if process and process.returncode is None:
            process.kill()
        self._log.close()

    def _complaint(self):
        try:
            with open(f"{self._stem}.errors", encoding="utf-8", errors="replace") as file:
                text = " ".join(file.read().split())
        except OSError:
            return ""
        return ": " + text[:300]


async def play_all(xmpp, with_slow, only=()):
    """Plays every scenario that this transport has; returns the outcomes."""
    (environment.STATE / "sipp").mkdir(exist_ok=True)
    outcomes = []
    for scenario in SCENARIOS:
        if scenario.given.get("transport") not in (None, environment.SIP) or only and scenario.name not in only:
            continue
        if scenario.given.get("slow") and not with_slow:
            continue
        began = time.monotonic()
        trouble = await _play(scenario, xmpp)
        print(f"{scenario.name:44} {time.monotonic() - began:5.1f} s  {trouble or 'ok'}", flush=True)
        outcomes.append({"scenario": scenario.name, "rules": list(scenario.rules), "outcome": trouble or "ok"})
    return outcomes


async def _play(scenario, xmpp):
    world.restart_gateway(scenario.given.get("hops") or [f"{environment.SIP}:{FIRST}:{_PORT}" + _form(scenario)])
    stage = Stage(scenario.name, xmpp)
    try:
        await asyncio.wait_for(scenario.play(stage), 60)
    except Unmet as unmet:
        return str(unmet)
    except Exception as error:  # the other scenarios still have something to say
        return f"{type(error).__name__}: {error}"
    finally:
        stage.stop()
    return ""


def _form(scenario):
    form = scenario.given.get("sessions")
    return f";sessions={form}" if form else ""
