"""play.py PEER SERVER RESULTS: one peer converses with a user of one XMPP server; writes the outcomes as JSON."""

import asyncio
import json
import pathlib
import re
import subprocess
import sys
import time

import world
import environment
import exchange
from agent import Unmet
from baresip import BaresipAgent
from phone import PhoneAgent
from xmpp_client import Client

#: How long a scenario may take as a whole.
PATIENCE = 40.0


async def converse(agent, peer, server):
    """Plays every scenario that the agent is able to; returns the outcomes."""
    domain, place = world.SERVERS[server]
    xmpp, couch = Client(f"{peer}@{domain}", place), Client(f"{peer}@{domain}", place, "couch")
    pair, outcomes = exchange.Pair(agent, xmpp, couch), []
    try:
        await xmpp.start()
        for scenario in exchange.SCENARIOS:
            if scenario.needs in agent.can:
                began = time.monotonic()
                trouble = await _play(scenario, pair)
                took = time.monotonic() - began
                print(f"{scenario.name:34} {took:5.1f} s  {trouble or 'ok'}", flush=True)
                outcomes.append({"scenario": scenario.name, "rules": list(scenario.rules), "outcome": trouble or "ok"})
    finally:
        for member in (agent, xmpp, couch):
            await asyncio.wait_for(member.stop(), 10)
    return outcomes


async def _play(scenario, pair):
    """Returns what went wrong, or nothing."""
    try:
        await asyncio.wait_for(scenario.play(pair), PATIENCE)
    except Unmet as unmet:
        return str(unmet)
    except Exception as error:  # the other scenarios still have something to say
        return f"{type(error).__name__}: {error}"
    return ""


async def _phone(peer, server):
    kind = "udp" if environment.SIP == "udp" else "tcp"
    agent = PhoneAgent(f"{peer}-{server}@contoso.example", world.place(peer, server), kind)
    return _kamailio(peer), await converse(agent, peer, server)


def _kamailio(peer):
    printed = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"kamailio ([0-9.]+)", printed)[1]
    return f"Kamailio {version}" + (", no Record-Route" if peer == "kamailio2" else "")


async def _pjsip(peer, server):
    from pjsip import Stack

    tls = None
    if environment.SIP == "tls":
        tls = [environment.CERTS / name for name in ("ca.crt", f"{world.PHONES}.crt", f"{world.PHONES}.key")]
    proxy = "sip.contoso.example" + (":5061" if environment.SIP == "tls" else "")
    log = environment.LOG / f"{peer}-{server}.pjsip"
    async with Stack(world.place(peer, server), environment.SIP, log, tls) as stack:
        agent = stack.agent(f"{peer}-{server}@contoso.example", proxy)
        return stack.version(), await converse(agent, peer, server)


async def _baresip(peer, server):
    folder, tls = environment.STATE / f"{peer}-{server}", ("", "")
    if environment.SIP == "tls":
        tls = environment.CERTS / "ca.crt", environment.CERTS / f"{world.PHONES}.pem"
    domain, _ = world.SERVERS[server]
    address, host = f"{peer}-{server}@contoso.example", world.place(peer, server)
    agent = BaresipAgent(address, f"{peer}@{domain}", host, environment.SIP, folder, tls)
    printed = subprocess.run(["baresip", "-h"], capture_output=True, text=True, check=False)
    version = re.search(r"baresip v([0-9.]+)", printed.stdout + printed.stderr)[1]
    return f"baresip {version}", await converse(agent, peer, server)


async def _sipp(peer, server):
    import sipp_calls  # noqa: F401  its scenarios
    import sipp_serves  # noqa: F401  and its
    import sipp_sessions  # noqa: F401  and its
    import sipp_stage

    domain, place = world.SERVERS[server]
    xmpp = Client(f"{peer}@{domain}", place)
    await xmpp.start()
    try:
        printed = subprocess.run(["sipp", "-v"], capture_output=True, text=True, check=False).stdout
        return re.search(r"SIPp v[0-9.]+", printed)[0].replace("SIPp v", "sipp "), await sipp_stage.play_all(xmpp, server == "prosody", sys.argv[4:])
    finally:
        await asyncio.wait_for(xmpp.stop(), 10)


async def _msrp(peer, server):
    import msrp_calls
    import sipp_stage

    domain, place = world.SERVERS[server]
    xmpp = msrp_calls.Confirming(f"{peer}@{domain}", place)
    await xmpp.start()
    try:
        return "MSRP peer", await sipp_stage.play_all(xmpp, True)
    finally:
        await asyncio.wait_for(xmpp.stop(), 10)


PLAYS = {"kamailio": _phone, "kamailio2": _phone, "pjsip": _pjsip, "baresip": _baresip, "sipp": _sipp, "msrp": _msrp}


def command():
    peer, server, results = sys.argv[1:4]
    software, outcomes = asyncio.run(PLAYS[peer](peer, server))
    same = {"peer": software, "transport": environment.SIP, "server": server}
    pathlib.Path(results).write_text(json.dumps([{**same, **each} for each in outcomes], indent=1), encoding="utf-8")


if __name__ == "__main__":
    command()
