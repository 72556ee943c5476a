"""A run directory: every file the launcher writes or reads in it, and when it may be used.

Never reused but by --resume. While a launcher runs it holds a lock on `launch.lock`, which the kernel
drops however the launcher ends.
"""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import re
import shutil
import tomllib

from .errors import LauncherError


ROOM_BYTES_LEAST = 64 << 10  # a failure report and the end of a log


def utc_stamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")


def new_path(job_name):
    """runs/<job name>/<UTC time> below the current folder, not yet there."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", job_name).lstrip(".") or "job"
    first = pathlib.Path.cwd() / "runs" / safe / utc_stamp()
    path, count = first, 1
    while path.exists():
        count += 1
        path = first.with_name(f"{first.name}-{count}")
    return path


def read_json(path):
    """The object in a JSON file; nothing if it is not there (yet) or is not whole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


NUMBER = (int, float)
SUMMARY_KINDS = {"mode": str, "steps": NUMBER, "epochs": NUMBER, "wall_seconds": NUMBER,
                 "samples_per_second": NUMBER, "bytes_pushed": NUMBER, "bytes_pulled": NUMBER,
                 "metrics": dict, "staleness": dict, "shares": dict}


def fault_of(summary):
    """The first value of a summary.json that is not of its kind, in words, or nothing."""
    for key, kind in SUMMARY_KINDS.items():
        if key in summary and not isinstance(summary[key], kind):
            wanted = {str: "a text", dict: "an object"}.get(kind, "a number")
            return f"{key} is {json.dumps(summary[key])[:40]}, expected {wanted}"
    numbers = {**(summary.get("metrics") or {}), "mean": (summary.get("staleness") or {}).get("mean")}
    for key, value in numbers.items():
        if not (value is None or isinstance(value, NUMBER)):
            return f"{key} is {json.dumps(value)[:40]}, expected a number"
    return None


class RunDirectory:
    def __init__(self, path):
        self.path = pathlib.Path(path).absolute()
        self.logs = self.path / "logs"
        self._lock = None
        self._made = None  # folders made for a new run, innermost first
        self._metrics_start = 0  # where this start's lines begin
        self._metrics_offset = 0
        self._log_offsets = {}  # the same of each log

    @classmethod
    def create(cls, path):
        """For a new run: the folder must be empty or not exist."""
        run_dir = cls(path)
        if run_dir.path.exists() and not run_dir.path.is_dir():
            raise LauncherError(f"run directory {path}: a file of that name found; expected a new or "
                                "empty folder: choose another --run-dir")
        try:
            if run_dir.path.is_dir() and any(run_dir.path.iterdir()):
                raise LauncherError(f"run directory {path} is not empty; a run directory is never "
                                    "reused: choose another, or continue it with --resume")
            run_dir._made = [folder for folder in (run_dir.path, *run_dir.path.parents)
                             if not folder.exists()]
            run_dir.path.mkdir(parents=True, exist_ok=True)
            run_dir.path.chmod(0o700)
            run_dir.logs.mkdir(mode=0o700)
        except OSError as error:
            raise LauncherError(f"cannot create run directory {path}: {error.strerror}; choose "
                                "another --run-dir") from error
        return run_dir

    @classmethod
    def reopen(cls, path):
        """For --resume: the folder must hold a run that was started before and is not going on."""
        run_dir = cls(path)
        run_dir.check_readable()
        if not (run_dir.path / "job.toml").is_file():
            raise LauncherError(f"cannot resume {path}: it holds no job.toml, "
                                "so no run was started there")
        if run_dir.is_running():
            raise run_dir.in_use()
        if run_dir.newest_checkpoint() is None:
            raise LauncherError(f"cannot resume {path}: it holds no checkpoint "
                                "(checkpoints/*/manifest); run the job again instead")
        run_dir._metrics_start = run_dir._metrics_offset = run_dir.metrics_bytes()
        run_dir._log_offsets = {log: log.stat().st_size for log in run_dir.logs.glob("*.log")}
        return run_dir

    def check_readable(self):
        """A run directory is a folder, and its owner's alone: to others its files would look
        missing."""
        if not self.path.is_dir():
            found = "a file" if self.path.exists() else "no such folder"
            raise LauncherError(f"{self.shown()}: {found}; expected a run directory")
        if not os.access(self.path, os.R_OK | os.X_OK):
            raise LauncherError(f"{self.shown()}: no permission to read this folder; "
                                f"expected its owner, user {self.path.stat().st_uid}")

    def in_use(self):
        return LauncherError(f"{self.shown()} is in use: its run is going on; `status "
                             f"{self.shown()}` shows it, Ctrl-C in its launcher stops it")

    def lock(self):
        """Refuses a folder whose run is going on. The lock lasts until this process ends."""
        path = self.path / "launch.lock"
        try:
            self._lock = open(path, "w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or os.fstat(self._lock.fileno()).st_ino != path.stat().st_ino:
                raise BlockingIOError  # its holder ended in between and took the file away
        except BlockingIOError as error:
            raise self.in_use() from error
        except OSError as error:
            raise LauncherError(f"cannot write to {self.path}: {error.strerror}") from error

    def unlock(self):
        """Leaves nothing in the folder that only a run that is going on needs."""
        if not self._lock:
            return
        shutil.rmtree(self.path / "sockets", ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.path / "launch.lock").unlink()
        self._lock.close()
        self._lock = None

    def is_running(self):
        with contextlib.suppress(OSError), open(self.path / "launch.lock", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def forget_previous_end(self):
        """Before a resume: what the last start left must not be taken for news of this one."""
        # A resume starts from a checkpoint, not from where the last coordinator was.
        for name in ("status.json", "summary.json", "ended.json", "coordinator.state"):
            (self.path / name).unlink(missing_ok=True)
        for path in self.logs.glob("*.failure.json"):
            path.rename(path.with_name(path.name.replace(".failure.", ".failure-before-resume.")))

    def discard(self):
        """Removes a run that never started. What was there before this launcher is not touched."""
        self.unlock()
        if self._made is None:
            return
        for entry in self.path.iterdir():  # the folder was empty or not there
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for folder in self._made:
            with contextlib.suppress(OSError):  # not empty: another run is beside it
                folder.rmdir()

    def config(self):
        path = self.path / "config.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise LauncherError(f"cannot read {path}: {error}") from error

    def status(self):
        return read_json(self.path / "status.json") or {}

    def write_end(self, exit_code, message):
        """How the launcher saw the run end; `status` shows it. Nothing there: it was killed itself."""
        end = {"exit_code": exit_code, "message": message}
        with contextlib.suppress(OSError):  # a full disk: the message is on the screen
            (self.path / "ended.json").write_text(json.dumps(end) + "\n", encoding="utf-8")

    def end(self):
        return read_json(self.path / "ended.json") or {}

    def summary(self):
        """The result of the job; nothing if it is not there (yet) or is damaged."""
        with contextlib.suppress(LauncherError):
            return self.checked_summary()
        return None

    def checked_summary(self):
        """The same for who cannot do without it: says what is wrong."""
        self.check_readable()
        path = self.path / "summary.json"
        if not path.exists():
            raise LauncherError(f"{self.shown()} holds no summary.json: its job is not done; "
                                f"`status {self.shown()}` says how far it is")
        summary = read_json(path)
        fault = "no whole JSON object" if summary is None else fault_of(summary)
        if fault:
            raise LauncherError(f"{self.shown()}/summary.json is damaged: {fault}; "
                                f"`run --resume {self.shown()}` writes it anew")
        return summary

    def metrics_bytes(self):
        path = self.path / "metrics.jsonl"
        return path.stat().st_size if path.exists() else 0

    def new_metrics(self):
        """Whole lines of metrics.jsonl not returned before."""
        path = self.path / "metrics.jsonl"
        if self.metrics_bytes() <= self._metrics_offset:
            return []
        with path.open("rb") as file:
            file.seek(self._metrics_offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._metrics_offset += len(whole) + len(newline)
        return parse_lines(whole)

    def metrics(self, start=0):
        """All of metrics.jsonl from this byte on."""
        path = self.path / "metrics.jsonl"
        return parse_lines(path.read_bytes()[start:]) if path.exists() else []

    def steps_of_metrics(self):
        """The steps that metrics.jsonl speaks of since this start."""
        return [record.get("step") for record in self.metrics(self._metrics_start)]

    def steps_at_loss(self, role):
        """Where the others were when they lost a process of `role`: their logs since this start."""
        steps = []
        for log in self.logs.glob("*.log"):
            with contextlib.suppress(OSError), log.open("rb") as file:
                file.seek(self._log_offsets.get(log, 0))
                found = re.findall(rb" lost %s\b.* step=(\d+)" % role.encode(), file.read())
                steps += [int(digits) for digits in found]
        return steps

    def failures(self):
        """The failure reports of processes, in no order."""
        found = [read_json(path) for path in sorted(self.logs.glob("*.failure.json"))]
        return [failure for failure in found if failure]

    def newest_checkpoint(self):
        """The folder of the newest checkpoint that was committed, or nothing."""
        manifests = (self.path / "checkpoints").glob("*/manifest")
        return max((path.parent for path in manifests), key=checkpoint_key, default=None)

    def is_full(self):
        """Whether its disk has no room for what a process would say at its end."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize < ROOM_BYTES_LEAST

    def shown(self):
        """The path as a user would type it here."""
        relative = os.path.relpath(self.path)
        return str(self.path) if relative.startswith("..") else relative


def checkpoint_key(folder):
    digits = re.search(r"\d+", folder.name)
    return (int(digits.group()) if digits else -1, folder.name)


def step_of(checkpoint):
    return checkpoint.name.lstrip("0") or "0"


def parse_lines(text):
    records = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def newest(runs):
    """The run below the folder `runs` whose status was written last, or nothing."""
    found = [path for depth in ("*", "*/*") for path in runs.glob(depth + "/status.json")]
    last = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return RunDirectory(last.parent) if last else None
