"""pod.py SPEC: one pod, as the kubelet makes it. Runs inside `unshare --net --mount`, and becomes the program.

The root holds the program, the C library and what the volumes bring, and is read-only; the user is that of the security
context, without any privilege. SPEC is JSON, made by cluster.py.
"""

import ctypes
import json
import os
import subprocess
import sys

PR_SET_NO_NEW_PRIVS = 38


def become(spec):
    """Everything up to the program; the network comes from outside."""
    print("here", flush=True)
    sys.stdin.readline()
    for command in (["addr", "add", spec["address"] + "/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
        subprocess.run(["ip", *command], check=True)
    root = spec["root"]
    mount("--bind", root, root)
    for source, target in spec["read_only"]:
        mount("--bind", source, root + target)
        mount("-o", "remount,bind,ro", root + target)
    for source, target, is_read_only in spec["volumes"]:
        mount("--bind", source, root + target)
        if is_read_only:
            mount("-o", "remount,bind,ro", root + target)
    mount("-o", "remount,bind,ro", root)
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chroot(root)
    os.chdir("/")
    os.setgroups([spec["group"]])
    os.setgid(spec["group"])
    os.setuid(spec["user"])
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execve(spec["command"][0], spec["command"], spec["environment"])


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    become(spec)
