"""The children of a launcher: started in sessions of their own and ended with certainty.

Each child is in its own session, so a Ctrl-C of the terminal reaches only the launcher, and asks
the kernel for SIGKILL when its parent dies, so kill -9 of the launcher leaves nothing behind.
Start children from the main thread only: the kernel ties that wish to the thread that forked.
"""

import ctypes
import dataclasses
import os
import signal
import subprocess
import time

from .errors import LauncherError

PR_SET_PDEATHSIG = 1
END_GRACE_S = 3.0  # between SIGTERM and SIGKILL
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork


def die_with_parent(parent):
    """For preexec_fn: runs in the child between fork and exec."""

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the wish was known
            os._exit(1)

    return prepare


@dataclasses.dataclass
class Child:
    role: str
    index: int
    process: subprocess.Popen
    out: object  # path of its stdout and stderr
    died_at: float | None = None  # wall clock, as seen by the launcher
    ended_by_launcher: bool = False

    @property
    def name(self):
        return self.role if self.role == "coordinator" else f"{self.role} {self.index}"

    @property
    def exit_code(self):
        """None while it lives; negative: killed by that signal."""
        return self.process.returncode

    @property
    def alive(self):
        return self.died_at is None

    def send(self, number):
        """Only to a child that was not yet reaped, so the number cannot be another process's."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)


class Cluster:
    """All processes of one job."""

    def __init__(self):
        self.children = []

    def start(self, role, index, command, logs):
        out = logs / f"{role}-{index}.out"
        try:
            with open(out, "ab") as file:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                    start_new_session=True, preexec_fn=die_with_parent(os.getpid()))
        except (OSError, subprocess.SubprocessError) as error:
            raise LauncherError(f"cannot start {command[0]}: {error}") from error
        self.children.append(Child(role, index, process, out))

    @property
    def coordinator(self):
        return next(child for child in self.children if child.role == "coordinator")

    def alive(self):
        return [child for child in self.children if child.alive]

    def reap(self):
        """Children that died since the last call."""
        dead = [child for child in self.alive() if child.process.poll() is not None]
        for child in dead:
            child.died_at = time.time()
        return dead

    def end(self, grace_s=END_GRACE_S):
        """Ends what still lives: SIGTERM, `grace_s`, SIGKILL. Returns when nothing is left."""
        for child in self.alive():
            child.ended_by_launcher = True
            child.send(signal.SIGTERM if grace_s else signal.SIGKILL)
        self._wait(grace_s)
        for child in self.alive():
            child.send(signal.SIGKILL)
        self._wait(float("inf"))

    def _wait(self, seconds):
        deadline = time.monotonic() + seconds
        self.reap()
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
            self.reap()
