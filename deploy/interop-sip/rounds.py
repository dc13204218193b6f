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
PATIENCE = 240.0

#: What is done before a phase, and the peers that play in it, all at once.
PHASES = [
    (lambda: None, ["kamailio", "pjsip"]),
    (world.kamailio_without_record_route, ["kamailio2"]),
]


def play(only):
    """Plays the phases, or those parts that have the peers named; returns whether any of them could not play."""
    environment.enter()
    with environment.alone():
        world.down()
        shutil.rmtree(RESULTS, ignore_errors=True)
        RESULTS.mkdir()
        began, ended_badly = time.monotonic(), False
        try:
            world.up()
            for prepare, peers in PHASES:
                playing = [peer for peer in peers if not only or peer in only]
                if playing:
                    prepare()
                    ended_badly |= _phase(playing)
        finally:
            world.down()
            environment.leave_and_remove()
    print(f"{environment.SIP}: {time.monotonic() - began:.0f} s", flush=True)
    return ended_badly


def _phase(peers):
    running = {}
    for peer in peers:
        for server in world.SERVERS:
            name = f"{peer}-{server}"
            with open(environment.LOG / f"{name}.play", "w", encoding="utf-8") as log:
                command = [PYTHON, HERE / "play.py", peer, server, RESULTS / f"{name}.json"]
                running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    give_up_at = time.monotonic() + PATIENCE
    ended_badly = False
    for name, process in running.items():
        try:
            code = process.wait(max(give_up_at - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "it took too long"
        if code:
            print(f"{environment.SIP}, {name}: {code}; see {environment.LOG / f'{name}.play'}", flush=True)
            ended_badly = True
    return ended_badly
