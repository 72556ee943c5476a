"""Starts the launcher in tests, and finds what it may have left behind."""

import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BALLAST = ROOT / "launch/ballast"


# Before a command: root like anybody else needs permission to read and write.
UNPRIVILEGED = (("setpriv", "--bounding-set=-dac_override,-dac_read_search")
                if os.geteuid() == 0 else ())


def run(*words, cwd, timeout=60, program=BALLAST, prefix=()):
    """The launcher (or another program) to its end, its output captured."""
    return subprocess.run([*prefix, str(program), *map(str, words)], cwd=cwd, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False)


def start(*words, cwd, prefix=()):
    """The launcher in the background, in a session of its own."""
    return subprocess.Popen([*prefix, str(BALLAST), *map(str, words)], cwd=cwd, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)


def processes_of(folder):
    """{pid: command line} of living processes other than launchers that work in `folder`."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if any(str(folder) in word for word in words) and str(BALLAST) not in words:
            found[int(entry.name)] = " ".join(words)
    return found


def process_of(folder, role, index=0):
    """The pid of one process of the job in `folder`."""
    for pid, command in processes_of(folder).items():
        words = command.split()
        is_role = any(word.endswith(f"/ballast-{role}") for word in words)
        if is_role and (role == "coordinator" or f"--index {index}" in command):
            return pid
    raise AssertionError(f"no {role} {index} among {processes_of(folder)}")


def wait_until(condition, what, seconds=20, launcher=None):
    """Polls: the thing waited for is another process's doing. Gives up when `launcher` has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        if launcher and launcher.poll() is not None:
            out, error = launcher.communicate()
            raise AssertionError(f"the launcher ended with {launcher.returncode} while waiting for "
                                 f"{what}:\n{out}{error}")
        time.sleep(0.02)
    raise AssertionError(f"after {seconds} s still not: {what}")


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


