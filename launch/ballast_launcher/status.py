"""`status [RUNDIR]`: the newest status.json as a table."""

import pathlib
import time

from . import table, text
from .binaries import HOME
from .errors import DONE, STOPPED, STOPPED_NOW, LauncherError
from .run import command_line
from .run_directory import RunDirectory, newest, step_of

LOADER = ("not ready", "blocks/batch")


def find(run_dir):
    if run_dir:
        return RunDirectory(run_dir)
    for runs in (pathlib.Path.cwd() / "runs", HOME / "runs"):
        found = newest(runs)
        if found:
            return found
    raise LauncherError("no run below ./runs; name a run directory")


STATES = {DONE: "finished", STOPPED: "stopped", STOPPED_NOW: "stopped at once"}


def how_to_go_on(run):
    checkpoint = run.newest_checkpoint()
    if checkpoint is None:
        return "  no checkpoint was written: run the job again"
    return f"  to resume from step {step_of(checkpoint)}: " \
           f"{command_line('run', '--resume', run.shown())}"


def ending(run):
    """(state, words of the launcher) of a run that is not going on."""
    end = run.end()
    if not end:
        return "killed", ["its launcher was killed, and every process with it", how_to_go_on(run)]
    state = STATES.get(end.get("exit_code"), "failed")
    return state, [] if state == "finished" else str(end.get("message", "")).splitlines()


def as_ended(status, state):
    """What the last status.json said of a run that has ended: nobody waits or computes any more."""
    workers = [{**worker, "state": "ended"} for worker in status.get("workers") or []]
    feeders = [{**feeder, "workers": 0, "portions_per_second": 0}
               for feeder in status.get("feeders") or []]
    return {**status, "state": state, "workers": workers, "feeders": feeders, "waiting_for": None,
            "samples_per_second": None}


def loader_columns(loader):
    """The share of batches that a step had to wait for, and the different blocks a lane's batch has."""
    ready, waited = loader.get("batches_ready", 0), loader.get("batches_waited", 0)
    late = f"{100 * waited / (ready + waited):.0f} %" if ready + waited else ""
    least = loader.get("blocks_per_batch_min", 0)
    mean = text.number(round(loader.get("blocks_per_batch_mean", 0), 1))
    return [late, f"{mean}, least {least}" if least else ""]


def worker_row(worker):
    shares = worker.get("shares") or {}
    row = [worker.get("index", "?"), worker.get("state", "?"), worker.get("clock", "?"),
           text.number(worker.get("samples_per_second", 0))]
    row += [f"{100 * shares[name]:.0f} %" if name in shares else "" for name in text.SHARES]
    return row + loader_columns(worker.get("loader") or {})


def feeder_row(feeder):
    workers = feeder.get("workers", 0)
    return [feeder.get("index", "?"), "up" if workers else "down", workers,
            feeder.get("portions", 0), text.number(feeder.get("portions_per_second", 0))]


def show(run_dir):
    run = find(run_dir)
    run.check_readable()
    status = run.status()
    if not status:
        if (run.path / "status.json").exists():
            raise LauncherError(f"{run.shown()}/status.json is damaged: no whole JSON object; "
                                "the logs beside it say what the run did")
        raise LauncherError(f"{run.shown()} holds no status.json: not a run directory, "
                            "or its job never started")
    age = time.time() - (run.path / "status.json").stat().st_mtime
    words = []
    if run.is_running():
        print(f"{run.shown()}: running, status of {age:.0f} s ago")
    else:
        state, words = ending(run)
        status = as_ended(status, state)
        print(f"{run.shown()}: {state}, last status of {age:.0f} s ago")
    print(text.status_line(status))
    for line in words:
        print(line.removeprefix("ballast: "))
    if status.get("metrics"):
        print(text.record_line(status["metrics"]))
    workers = status.get("workers") or []
    if workers:
        columns = ["worker", "state", "clock", "samples/s", *text.SHARES, *LOADER]
        rows = [worker_row(worker) for worker in workers]
        used = [number for number, column in enumerate(columns)
                if column not in (*text.SHARES, *LOADER) or any(row[number] for row in rows)]
        table.show([columns[number] for number in used],
                   [[row[number] for number in used] for row in rows])
    feeders = status.get("feeders") or []
    if feeders:
        table.show(["feeder", "state", "workers", "portions", "portions/s"],
                   [feeder_row(feeder) for feeder in feeders])
    return DONE
