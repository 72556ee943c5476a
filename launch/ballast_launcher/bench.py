"""`bench sync-async`: one job in sync, ssp and async, undisturbed and with stragglers.

The question: what does waiting for the slowest worker cost, and what does not waiting cost in
accuracy? With one of two equal workers slowed 4x, sync goes at the slow one's pace, so undisturbed
speed / 4 is its bound; async loses only the slow worker's part: (1 + 1/4) / 2 of full speed, so it
needs about 0.4x of sync's time for the same epochs.

Each run is a job of its own in OUT/runs; medians of the repeats go to the table and
OUT/results.json, which also holds every single run, machine, commit and settings; four plots beside
it (plots.py).
"""

import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess

from . import bundle, table, text
from .binaries import EXAMPLES, HOME
from .errors import DONE, LauncherError
from .failure import seconds
from .run import (Request, call_tool, check_job_file, command_line, resolve_command,
                  run_job)
from .run_directory import utc_stamp

DEFAULT_JOB = EXAMPLES / "digits.toml"
MODES = ("sync", "ssp", "async")
SCORES = ("test_accuracy", "test_auc")  # what a target is set for: more is better
COLUMNS = ["condition / mode", "runs", "score", "to target s", "seconds", "vs sync", "samples/s",
           "staleness", "waiting", "pushed", "pulled"]


@dataclasses.dataclass(frozen=True)
class Options:
    bin_dir: pathlib.Path
    job: str
    out: pathlib.Path
    settings: tuple = ()
    repeats: int = 3
    slow_factor: float = 4.0
    pause_chance: float = 0.05
    pause_ms: int = 50
    target: float | None = None


def default_out():
    return pathlib.Path.cwd() / "runs/bench-sync-async" / utc_stamp()


def conditions(options):
    """Name -> the settings that disturb the job."""
    return {
        "even": (),
        "slow worker": ("fault.slow_worker=0", f"fault.slow_factor={float(options.slow_factor)}"),
        "pauses": (f"fault.pause_chance={float(options.pause_chance)}",
                   f"fault.pause_ms={options.pause_ms}"),
    }


def score_of(record):
    return next((record[name] for name in SCORES if name in record), None)


def curve_of(run_dir):
    """[[seconds since training began, score]] of every evaluation."""
    points = [(seconds(record.get("time")), score_of(record)) for record in run_dir.metrics()]
    return [[time, score] for time, score in points if score is not None]


def histogram_of(summary):
    """Updates by staleness, from 0."""
    return list((summary.get("staleness") or {}).get("histogram") or [])


def measure(options, condition, disturbance, mode, repeat):
    name = f"{condition.replace(' ', '-')}-{mode}-{repeat}"
    settings = (*options.settings, f"train.mode={mode}", *disturbance)
    result = run_job(Request(options.bin_dir, options.job, settings,
                             str(options.out / "runs" / name), quiet=True))
    if result.exit_code != DONE:
        raise LauncherError(f"{condition}, {mode}: " + result.message.removeprefix("ballast: "),
                            result.exit_code)
    summary = result.run_dir.summary()
    curve = curve_of(result.run_dir)
    if not curve:
        raise LauncherError(f"{options.job}: no {' or '.join(SCORES)} in metrics.jsonl; the bench "
                            "needs a classification job with data.test")
    return {"condition": condition, "mode": mode, "repeat": repeat, "curve": curve,
            "score": score_of(summary.get("metrics") or {}), "summary": summary}


def reachable_target(runs):
    """The highest score that every run reached, rounded down."""
    least = min(max(score for _, score in run["curve"]) for run in runs)
    return int(least * 1000) / 1000


def time_to(curve, target):
    return next((time for time, score in curve if score >= target), None)


def median(values):
    """Of the values there are; nothing if any is missing."""
    return None if any(value is None for value in values) else statistics.median(values)


def spread(values):
    """Median absolute deviation."""
    middle = median(values)
    return None if middle is None else median([abs(value - middle) for value in values])


def summarise(runs, target):
    """One row: medians over the repeats of one condition and mode."""
    columns = {
        "score": [run["score"] for run in runs],
        "seconds_to_target": [time_to(run["curve"], target) for run in runs],
        "wall_seconds": [run["summary"]["wall_seconds"] for run in runs],
        "samples_per_second": [run["summary"]["samples_per_second"] for run in runs],
        "staleness_mean": [(run["summary"].get("staleness") or {}).get("mean", 0) for run in runs],
        "wait_share": [share_waiting(run["summary"]) for run in runs],
        "bytes_pushed": [run["summary"]["bytes_pushed"] for run in runs],
        "bytes_pulled": [run["summary"]["bytes_pulled"] for run in runs],
    }
    row = {"condition": runs[0]["condition"], "mode": runs[0]["mode"], "runs": len(runs)}
    for name, values in columns.items():
        row[name] = median(values)
        row[name + "_mad"] = spread(values)
    return row


def share_waiting(summary):
    """Of a worker's time, what is neither loading nor computing; seconds and shares both divide."""
    shares = summary.get("shares") or {}
    total = sum(shares.values())
    busy = shares.get("load", 0) + shares.get("compute", 0)
    return (total - busy) / total if total else None


def group(runs):
    """Runs of the same condition and mode, in the order they were made."""
    groups = {}
    for run in runs:
        groups.setdefault((run["condition"], run["mode"]), []).append(run)
    return list(groups.values())


def shown(value, form):
    return "" if value is None else format(value, form)


def table_rows(rows):
    sync = {row["condition"]: row["wall_seconds"] for row in rows if row["mode"] == "sync"}
    for row in rows:
        wait = row["wait_share"]
        yield [f"{row['condition']} / {row['mode']}", row["runs"], shown(row["score"], ".4f"),
               shown(row["seconds_to_target"], ".2f"), shown(row["wall_seconds"], ".2f"),
               shown(row["wall_seconds"] / sync[row["condition"]], ".2f"),
               text.number(row["samples_per_second"]), shown(row["staleness_mean"], ".2f"),
               "" if wait is None else f"{100 * wait:.0f} %",
               text.byte_count(row["bytes_pushed"]), text.byte_count(row["bytes_pulled"])]


def machine():
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}


def commit():
    if bundle.find():
        return bundle.find().commit
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HOME,
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def measure_all(options):
    runs = []
    for repeat in range(1, options.repeats + 1):  # outermost, so that drift hits all alike
        for condition, disturbance in conditions(options).items():
            for mode in MODES:
                run = measure(options, condition, disturbance, mode, repeat)
                print(f"{condition:12} {mode:6} {repeat}/{options.repeats}  "
                      f"{run['summary']['wall_seconds']:7.2f} s  score {run['score']:.4f}",
                      flush=True)
                runs.append(run)
    return runs


def check_all(options):
    """Every kind of run is resolved before the first is measured: what is wrong with the last would
    be found after minutes of work."""
    check_job_file(options.job)
    for disturbance in conditions(options).values():
        for mode in MODES:
            settings = (*options.settings, f"train.mode={mode}", *disturbance)
            call_tool(resolve_command(Request(options.bin_dir, options.job, settings), options.job,
                                      "--dry-run"))


def make_out(out):
    try:
        if out.exists() and any(out.iterdir()):
            raise LauncherError(f"--out {out} is not empty; choose another folder")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(f"--out {out}: a folder cannot be made here: {error.strerror}; choose "
                            "another") from error


def sync_async(options):
    check_all(options)
    make_out(options.out)
    runs = measure_all(options)
    target = options.target if options.target is not None else reachable_target(runs)
    rows = [summarise(group_runs, target) for group_runs in group(runs)]
    results = {"question": "sync, ssp and async with and without stragglers", "target": target,
               "machine": machine(), "commit": commit(), "job": str(options.job),
               "settings": list(options.settings), "conditions": conditions(options),
               "rows": rows, "runs": runs}
    path = options.out / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print()
    table.show(COLUMNS, table_rows(rows), title=f"medians, target score {target}")
    plots = draw(path)
    print(f"results: {path}" + "".join(f"\nplot: {plot}" for plot in plots))
    return DONE


def read_results(path):
    """A results.json as sync_async writes it."""
    expected = "expected the results.json of `bench sync-async`"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise LauncherError(f"{path}: {reason}; {expected}") from error
    missing = [key for key in ("target", "rows", "runs")
               if not isinstance(results, dict) or key not in results]
    if missing:
        raise LauncherError(f"{path}: it holds no {', '.join(missing)}; {expected}")
    return results


def draw(path):
    """The plots of a results.json, or nothing (said) without matplotlib."""
    try:
        from . import plots
    except ImportError as error:
        print(f"no plots: {error}; install python3-matplotlib and call "
              f"{command_line('bench', 'plots', str(path))}")
        return []
    results = read_results(path)
    try:
        return plots.draw_all(results, path.parent)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise LauncherError(f"{path}: a run in it is not as `bench sync-async` writes it "
                            f"({type(error).__name__}: {error})") from error
