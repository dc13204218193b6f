"""A Debian host with a systemd of its own, to install packages on: starts in a second and leaves nothing behind."""

import pathlib
import shutil
import subprocess
import tempfile
import time

PATIENCE = 30.0
POLL = 0.05
_START = pathlib.Path(__file__).with_name("machine")


class CheckError(Exception):
    """What had to hold does not."""


class Machine:
    """One host, in a network namespace that exists already."""

    def __init__(self, name, namespace):
        self.name = name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-machine-")) / name
        self.folder.mkdir()
        self.log = self.folder.parent / "log"
        own = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, "unshare", *own, _START, self.folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._init = until("systemd runs", self._first_process)
            until("systemd answers", lambda: self.ask("systemctl", "is-active", "--quiet", "check.target"))
        except CheckError as error:
            said = self.log.read_text(errors="replace")
            self.stop()
            raise CheckError(f"{error}\n{said}") from error

    def _first_process(self):
        """The pid of the host's systemd, as seen from here."""
        if self._process.poll() is not None:
            raise CheckError("the machine ended right after its start")
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        is_systemd = children and pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n"
        return children[0] if is_systemd else None

    def _inside(self, command):
        entered = ["nsenter", "--target", self._init, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
        return [*entered, "--root", "--wd", *map(str, command)]

    def run(self, *command, stdin=None):
        """Runs a command to its end, which has to be a good one; what it printed."""
        done = subprocess.run(self._inside(command), capture_output=True, text=True, input=stdin, check=False)
        if done.returncode != 0:
            shown = " ".join(map(str, command))
            raise CheckError(f"{shown}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, *command):
        """Whether a command ends well."""
        return subprocess.run(self._inside(command), capture_output=True, check=False).returncode == 0

    def write(self, path, content, owner="root:root", mode="644"):
        """Puts a file there."""
        self.run("sh", "-c", f"umask 077; cat >'{path}' && chown {owner} '{path}' && chmod {mode} '{path}'", stdin=content)

    def facts(self, path):
        """Owner, group and mode."""
        return self.run("stat", "-c", "%U:%G %a", path).strip()

    def property(self, unit, name):
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def told(self, since=0):
        """What the host has said so far."""
        return self.log.read_text(errors="replace")[since:]

    def stop(self):
        """Switches it off: all that ran there and all that was written is gone."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def until(expected, look, patience=PATIENCE):
    """Waits until `look` finds something, and returns it."""
    give_up_at = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise CheckError(f"{expected}: not within {patience:.0f} s")
        time.sleep(POLL)
    return found


def require(held, otherwise):
    """Ends the check unless it held."""
    if not held:
        raise CheckError(otherwise)
