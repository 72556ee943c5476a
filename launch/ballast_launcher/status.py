"""`status [RUNDIR]`: the newest status.json as a table."""

import pathlib
import time

from . import table, text
from .binaries import CHECKOUT
from .errors import DONE, LauncherError
from .run_directory import RunDirectory, newest

SHARES = ("load", "compute", "push", "wait", "pull")


def find(run_dir):
    if run_dir:
        return RunDirectory(run_dir)
    for runs in (pathlib.Path.cwd() / "runs", CHECKOUT / "runs"):
        found = newest(runs)
        if found:
            return found
    raise LauncherError("no run below ./runs; name a run directory")


def worker_row(worker):
    shares = worker.get("shares") or {}
    row = [worker.get("index", "?"), worker.get("state", "?"), worker.get("clock", "?"),
           text.number(worker.get("samples_per_second", 0))]
    return row + [f"{100 * shares[name]:.0f} %" if name in shares else "" for name in SHARES]


def show(run_dir):
    run = find(run_dir)
    status = run.status()
    if not status:
        raise LauncherError(f"{run.shown()} holds no status.json: not a run directory, "
                            "or its job never started")
    age = time.time() - (run.path / "status.json").stat().st_mtime
    running = "running" if run.is_running() else "not running"
    print(f"{run.shown()}: {running}, status of {age:.0f} s ago")
    print(text.status_line(status))
    if status.get("metrics"):
        print(text.record_line(status["metrics"]))
    workers = status.get("workers") or []
    if workers:
        columns = ["worker", "state", "clock", "samples/s", *SHARES]
        rows = [worker_row(worker) for worker in workers]
        used = [number for number, column in enumerate(columns)
                if column not in SHARES or any(row[number] for row in rows)]
        table.show([columns[number] for number in used],
                   [[row[number] for number in used] for row in rows])
    return DONE
