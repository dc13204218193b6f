"""One round: everything over one transport, a phase for each thing that can stand at the gateway's SIP side."""

import shutil
import subprocess
import time
import pathlib

import environment
import world

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = environment.TARGET.parent / "interop-venv" / "bin" / "python"
RESULTS = environment.STATE / "results"
#: How long one phase may take.
PATIENCE = 270.0

#: What is done before a phase, and the peers that play in it, all at once.
_BEHIND_KAMAILIO = [
    (lambda: None, ["kamailio", "pjsip", "baresip"]),
    (world.kamailio_without_record_route, ["kamailio2"]),
]
#: These stand where the pool stands, so their scenarios come one after the other.
_INSTEAD_OF_KAMAILIO = {
    **dict.fromkeys(["sipp-udp", "sipp-tcp"], [(world.stop_kamailio, ["sipp"])]),
    "msrp": [(world.stop_kamailio, ["msrp"])],
}


def play(name):
    """Plays the phases of a round; returns whether any of them could not play."""
    environment.enter()
    phases = _INSTEAD_OF_KAMAILIO.get(name, _BEHIND_KAMAILIO)
    with environment.alone():
        world.down()
        shutil.rmtree(RESULTS, ignore_errors=True)
        RESULTS.mkdir()
        began, ended_badly = time.monotonic(), False
        try:
            world.up()
            for prepare, peers in phases:
                prepare()
                ended_badly |= _phase(peers)
        finally:
            world.down()
            environment.leave_and_remove()
            for line in world.kamailio_broke()[:5]:
                print(f"{name}: Kamailio broke by itself: {line}", flush=True)
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    return ended_badly


def _phase(peers):
    give_up_at = time.monotonic() + PATIENCE
    if peers in (["sipp"], ["msrp"]):
        return any([_ended_badly(name, process, give_up_at) for name, process in _start(peers)])
    return any([_ended_badly(name, process, give_up_at) for name, process in list(_start(peers))])


def _start(peers):
    for peer in peers:
        for server in world.SERVERS:
            name = f"{peer}-{server}"
            with open(environment.LOG / f"{name}.play", "w", encoding="utf-8") as log:
                command = [PYTHON, HERE / "play.py", peer, server, RESULTS / f"{name}.json"]
                yield name, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _ended_badly(name, process, give_up_at):
    try:
        code = process.wait(max(give_up_at - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = "it took too long"
    if code:
        print(f"{environment.SIP}, {name}: {code}; see {environment.LOG / f'{name}.play'}", flush=True)
    return bool(code)
