"""`compare RUNDIR...`: results of finished runs side by side, with floors they must reach."""

import contextlib
import math

from . import table, text
from .errors import DONE, FAILED, LauncherError
from .run_directory import RunDirectory

COLUMNS = ["mode", "test accuracy", "seconds", "samples/s", "staleness", "pushed", "run"]


def row(run):
    summary = run.checked_summary()
    if summary.get("stopped"):
        raise LauncherError(f"{run.shown()}: its job was stopped before its end; "
                            f"`run --resume {run.shown()}` goes on with it")
    accuracy = (summary.get("metrics") or {}).get("test_accuracy")
    staleness = (summary.get("staleness") or {}).get("mean")
    return [summary.get("mode", "?"), "" if accuracy is None else f"{accuracy:.4f}",
            f"{summary.get('wall_seconds', 0):.1f}", text.number(summary.get("samples_per_second", 0)),
            "" if staleness is None else f"{staleness:.2f}",
            text.byte_count(summary.get("bytes_pushed", 0)), run.shown()]


def parse_floor(floor):
    """"test_accuracy=0.96" -> (name, value)."""
    name, _, value = floor.partition("=")
    with contextlib.suppress(ValueError):
        if name and not math.isnan(float(value)):
            return name, float(value)
    raise LauncherError(f"--at-least {floor}: expected METRIC=NUMBER, as in test_accuracy=0.96")


def below(runs, name, least):
    """One line for each run whose metric misses the floor."""
    for run in runs:
        metrics = run.checked_summary().get("metrics") or {}
        reached = metrics.get(name)
        if name not in metrics:
            yield f"{run.shown()}: no metric {name} found; it has {', '.join(metrics) or 'none'}"
        elif reached is None or not reached >= least:
            yield f"{run.shown()}: {name} is {reached}, expected at least {least}"


def show(paths, floors):
    floors = [parse_floor(floor) for floor in floors]
    runs = [RunDirectory(path) for path in paths]
    table.show(COLUMNS, [row(run) for run in runs])
    missed = [line for floor in floors for line in below(runs, *floor)]
    if missed:
        raise LauncherError("; ".join(missed), FAILED)
    return DONE
