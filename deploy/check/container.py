"""A container of an image file, run by crun as an engine would: what the image says is what it gets."""

import io
import json
import pathlib
import subprocess
import tarfile

from machine import require

#: What an engine gives every container, besides what is asked for.
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev"]},
]
#: crun looks at the control groups even where it is told to leave them alone, and takes no machine that has both kinds.
_ALONE = ["unshare", "--mount", "sh", "-c", 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh"]


class Image:
    """An image, read from its file and unpacked into a folder."""

    def __init__(self, file, folder):
        self.root = pathlib.Path(folder)
        with tarfile.open(file) as archive:
            index = self._json(archive, "index.json")
            self.manifest = self._json(archive, _blob(index["manifests"][0]["digest"]))
            self.config = self._json(archive, _blob(self.manifest["config"]["digest"]))
            for layer in self.manifest["layers"]:
                packed = archive.extractfile(_blob(layer["digest"])).read()
                with tarfile.open(fileobj=io.BytesIO(packed)) as content:
                    content.extractall(self.root, numeric_owner=True)

    @staticmethod
    def _json(archive, path):
        return json.load(archive.extractfile(path))

    def files(self):
        """Every file, as a path in the image."""
        return {f"/{path.relative_to(self.root)}" for path in self.root.rglob("*") if not path.is_dir()}


class Container:
    """One run of an image: read-only, without capabilities, in a network namespace that exists."""

    def __init__(self, name, image, folder, namespace, mounts, entrypoint=None, arguments=None):
        self.name, self._bundle = name, pathlib.Path(folder)
        self._state = [*_ALONE, "crun", "--root", str(self._bundle / "state"), "--cgroup-manager=disabled"]
        said = image.config["config"]
        user, group = map(int, said["User"].split(":"))
        specification = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": user, "gid": group},
                "args": (entrypoint or said["Entrypoint"]) + (said["Cmd"] if arguments is None else arguments),
                "env": said["Env"],
                "cwd": said["WorkingDir"],
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": str(image.root), "readonly": True},
            "mounts": [*_MOUNTS, *mounts],
            "linux": {
                "namespaces": [
                    *({"type": kind} for kind in ("pid", "mount", "ipc", "uts")),
                    {"type": "network", "path": f"/run/netns/{namespace}"},
                ]
            },
        }
        self._bundle.mkdir(parents=True)
        (self._bundle / "config.json").write_text(json.dumps(specification), encoding="utf-8")
        self.log = self._bundle / "log"

    def run(self):
        """To its end: its exit code and what it said."""
        done = subprocess.run(self._command(), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def start(self):
        """Leaves it running."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_running(self):
        """Whether it has not ended."""
        return self._process.poll() is None

    def proc(self, file):
        """A file of its process below /proc."""
        state = subprocess.run([*self._state, "state", self.name], capture_output=True, text=True, check=True).stdout
        return pathlib.Path(f"/proc/{json.loads(state)['pid']}/{file}").read_text()

    def said(self):
        """Its log."""
        return self.log.read_text(errors="replace")

    def stop(self, patience):
        """As an engine does, by the image's signal; its exit code."""
        subprocess.run([*self._state, "kill", self.name, "TERM"], capture_output=True, check=False)
        try:
            return self._process.wait(patience)
        finally:
            self.remove()

    def remove(self):
        """Whatever is left of it."""
        subprocess.run([*self._state, "delete", "--force", self.name], capture_output=True, check=False)

    def _command(self):
        return [*self._state, "run", "--bundle", str(self._bundle), self.name]


def bind(source, destination, *options):
    """A folder or file of this machine in a container."""
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


def memory(destination, user):
    """A folder that is gone with the container."""
    options = ["nosuid", "nodev", "noexec", "mode=700", f"uid={user}", f"gid={user}"]
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}


def _blob(digest):
    kind, _, name = digest.partition(":")
    require(kind == "sha256", f"{digest} is of another kind")
    return f"blobs/{kind}/{name}"
