"""The units: systemd understands every line, and says how much is left to somebody who takes over the program."""

import pathlib
import subprocess
import tempfile

from machine import require

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "systemd"
PROGRAMS = {"causeway-edge-proxy.service": "edge-proxy", "causeway-gateway.service": "gateway"}

#: In tenths, of a scale to 100. What is left is the network and the sockets, which are what the programs are for.
MOST_EXPOSURE = 15


def check(binaries, say):
    """Each unit by itself."""
    units = sorted(path.name for path in FOLDER.glob("*.service"))
    require(units == sorted(PROGRAMS), f"units are {units}")
    for name, program in PROGRAMS.items():
        _verify(name, program, binaries)
        say(f"{name}: {_exposure(name)}")


def _verify(name, program, binaries):
    """systemd-analyze also looks whether the program is there, which on this machine it is elsewhere."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    installed = f"/usr/bin/{program} "
    require(f"ExecStart={installed}" in text, f"{name} does not start {installed}")
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, name)
        copy.write_text(text.replace(installed, f"{binaries / program} "), encoding="utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
        )
    require(done.returncode == 0 and not done.stderr, f"{name}: {done.stderr}")


def _exposure(name):
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSURE}"]
    done = subprocess.run([*command, FOLDER / name], capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{name} is exposed more than {MOST_EXPOSURE / 10}: {done.stdout}{done.stderr}")
    return done.stdout.strip().splitlines()[-1].lstrip("→ ")
