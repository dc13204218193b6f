"""A server process of the demo: started in the background, found again by its pid file, stopped by its pid alone."""

import os
import pathlib
import signal
import subprocess
import time
from dataclasses import dataclass, field

from environment import LOG, STATE, DemoError

#: How long a server may take to end by itself.
STOP_PATIENCE = 5.0
#: How often a condition is looked at again.
POLL = 0.05


@dataclass
class Process:
    """One server. The pid file also holds the start time of the process, so that a pid used again is not mistaken."""

    name: str
    command: list
    ready: callable
    environment: dict = field(default_factory=dict)

    def start(self):
        """Starts it, in a session of its own, with its output in the log folder."""
        LOG.mkdir(parents=True, exist_ok=True)
        with open(self.output, "ab") as output:
            process = subprocess.Popen(
                [str(part) for part in self.command],
                cwd=STATE,
                env={**os.environ, **{key: str(value) for key, value in self.environment.items()}},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _, started = _status(process.pid)
        self._pid_file.write_text(f"{process.pid} {started}", encoding="utf-8")

    def wait_ready(self, patience):
        """Waits until it serves; says what it wrote last when it does not."""
        give_up_at = time.monotonic() + patience
        while not self.ready():
            if self.pid() is None:
                raise DemoError(f"{self.name} ended right after its start; {self._last_words()}")
            if time.monotonic() > give_up_at:
                raise DemoError(f"{self.name} was not ready after {patience:.0f} s; {self._last_words()}")
            time.sleep(POLL)

    def pid(self):
        """The pid, if it runs."""
        try:
            pid, started = self._pid_file.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return None
        state, now_started = _status(int(pid))
        return int(pid) if now_started == started and state not in "ZX" else None

    def signal(self, number):
        """Sends a signal to the process itself."""
        pid = self.pid()
        if pid is None:
            raise DemoError(f"{self.name} is not running")
        os.kill(pid, number)

    def kill(self):
        """Ends it without a chance to say goodbye, as a power cut would, and waits until it is gone."""
        self._end(signal.SIGKILL)
        self._wait_gone(STOP_PATIENCE)

    def ask_to_stop(self):
        """Sends SIGTERM."""
        self._end(signal.SIGTERM)

    def stop(self):
        """Waits for the end that was asked for, then enforces it."""
        if not self._wait_gone(STOP_PATIENCE):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    @property
    def output(self):
        """What it printed."""
        return LOG / f"{self.name}.out"

    @property
    def _pid_file(self):
        return STATE / f"{self.name}.pid"

    def _end(self, number):
        pid = self.pid()
        if pid is not None:
            os.killpg(pid, number)

    def _wait_gone(self, patience):
        give_up_at = time.monotonic() + patience
        while self.pid() is not None:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL)
        return True

    def _last_words(self):
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines() if self.output.exists() else []
        tail = "\n  ".join(lines[-8:]) or "(nothing)"
        return f"its output, {self.output}, ends with:\n  {tail}"


def _status(pid):
    """State and start time of a process, as /proc tells them; ("X", "") when there is none."""
    try:
        line = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X", ""
    fields = line.rpartition(")")[2].split()
    return fields[0], fields[19]
