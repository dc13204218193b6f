"""The PostgreSQL of the pool's example: Debian's server, with the arguments, files and Secrets of the rendered pod.

The image's own start is not ours: what it makes of its variables on an empty volume is made here with initdb.
"""

import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from cluster import NODE, eventually

SERVER = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)
#: A fast shutdown, bounded.
STOP = 30


class Database:
    """The server of one pod, on the node, where the Service's address is."""

    def __init__(self, pod):
        if SERVER is None:
            raise SystemExit("there is no /usr/lib/postgresql: run deploy/setup kube")
        container = pod.workload.container
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-kube-"))
        self.folder.chmod(0o755)
        self.group, self.log = pod.group, pod.log
        arguments = list(container["args"])
        for mount in container["volumeMounts"]:
            if mount["mountPath"].startswith("/etc/"):
                place = self.folder / mount["name"]
                place.mkdir()
                # Others than root may not reach the folder of the volume.
                subprocess.run(["mount", "--bind", pod.volume(mount["name"]), place], check=True)
                arguments = [argument.replace(mount["mountPath"], str(place)) for argument in arguments]
        self.data = self.folder / "data"
        self.data.mkdir()
        shutil.chown(self.data, "postgres", "postgres")
        user = next(each["value"] for each in container["env"] if each["name"] == "POSTGRES_USER")
        password = self.folder / "secret" / "password"
        self._run("initdb", "-D", self.data, "-U", user, "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
        self.process = subprocess.Popen(
            self._as_postgres("postgres", "-D", self.data, "-c", f"listen_addresses={NODE}", "-c",
                              f"unix_socket_directories={self.data}", *arguments),
            stdout=self.log.open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        is_up = eventually(
            lambda: self._ask("pg_isready", "-h", self.data, "-U", user, "-d", "template1") == 0, STOP, self.process
        )
        if not is_up:
            raise SystemExit(f"PostgreSQL does not start with the arguments of the pod: {pod.tail()}")
        self._run("createdb", "-h", self.data, "-U", user, user)

    def _as_postgres(self, program, *arguments):
        user = pwd.getpwnam("postgres")
        name = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", f"--groups={self.group}"]
        return [*name, str(SERVER / program), *map(str, arguments)]

    def _ask(self, *command):
        return subprocess.run(self._as_postgres(*command), capture_output=True, check=False).returncode

    def _run(self, *command):
        done = subprocess.run(self._as_postgres(*command), capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise SystemExit(f"{command[0]}: {done.stderr.strip()}")

    def end(self):
        """Stops it, and takes its files away."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for place in self.folder.iterdir():
            subprocess.run(["umount", place], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
