"""What is said when a job failed: which process was first, how it died, why, and what to do."""

import dataclasses
import datetime
import signal

from .errors import BAD_INPUT, BUG, FAILED

# A death by signal is seen by its parent some milliseconds late, while the processes it hurts
# may already have reported: their reports do not come before it.
SIGNAL_LEAD_S = 1.0
OUT_LINES = 5


@dataclasses.dataclass
class Failure:
    name: str
    how: str
    time: float
    exit_code: int
    step: object
    chain: list
    tail: list
    log: str


def seconds(stamp):
    """A time in a report (seconds, or ISO 8601) as seconds since 1970; late if unreadable."""
    if isinstance(stamp, (int, float)):
        return float(stamp)
    try:
        return datetime.datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return float("inf")


def how_it_died(code):
    if code is None:
        return "failed"
    if code >= 0:
        return f"failed with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = " (if nobody sent it, the machine ran out of memory)" if name == "SIGKILL" else ""
    return f"was killed by signal {-code} ({name}){hint}"


def last_step(child, at_death, at_end, run_dir):
    """The largest step known of a process that could not say itself. status.json is up to a second
    old, so also: the metrics, what the coordinator had heard of a worker by the end, and the step at
    which the other processes lost it, from their logs. Workers that do without it may have gone on,
    so the job's step at the end counts only where all of them need it."""
    steps = [at_death.get("step"), *run_dir.steps_of_metrics(), *run_dir.steps_at_loss(child.role)]
    if child.role == "worker":
        steps += [worker.get("clock") for status in (at_death, at_end)
                  for worker in status.get("workers") or [] if worker.get("index") == child.index]
    else:
        steps.append(at_end.get("step"))
    return max((step for step in steps if isinstance(step, int)), default=None)


def last_lines(path):
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-OUT_LINES:]


def lines_of(value):
    return value.splitlines() if isinstance(value, str) else [str(line) for line in value or []]


def of_child(child, report, at_death, run_dir):
    """The failure of one child, with its own report if it could write one."""
    code = None if child.ended_by_launcher else child.exit_code
    by_signal = code is not None and code < 0
    when = child.died_at - (SIGNAL_LEAD_S if by_signal else 0)
    step, chain, tail = None, [], last_lines(child.out)
    if report:
        when = min(when, seconds(report.get("time")))
        step = report.get("step")
        chain = lines_of(report.get("chain"))
        tail = lines_of(report.get("log_tail"))[-OUT_LINES:]
    if step is None:
        step = last_step(child, at_death, run_dir.status(), run_dir)
    log = next((path for path in run_dir.logs.glob(f"{child.role}*.log")
                if path.stem in (child.role, f"{child.role}-{child.index}")), child.out)
    if not chain and not tail and run_dir.is_full():
        chain = [f"not written down: no space left on the disk of {run_dir.shown()}; free some, "
                 "or use a larger one"]
    exit_code = code if code in (BUG, BAD_INPUT, FAILED) else FAILED
    return Failure(child.name, how_it_died(code), when, exit_code, step, chain, tail, str(log))


def earliest(cluster, run_dir, at_death):
    """The failure that came first, or nothing if no process failed by itself. `at_death` is the
    status of that moment."""
    reports = {(report.get("role"), report.get("index") or 0): report
               for report in run_dir.failures()}
    failures = []
    for child in cluster.children:
        report = reports.get((child.role, child.index))
        died = not child.ended_by_launcher and child.exit_code not in (0, 75)
        if report or died:
            failures.append(of_child(child, report, at_death, run_dir))
    return min(failures, key=lambda failure: failure.time, default=None)


def describe(failure, advice):
    """The one message, what happened first, what to do last."""
    step = f"last step {failure.step}" if failure.step else "before the first step"
    lines = [f"ballast: {failure.name} {failure.how}, {step}"]
    lines += [("  cause: " if number == 0 else "         ") + text
              for number, text in enumerate(failure.chain)]
    if not failure.chain:
        lines += ["  | " + text for text in failure.tail]
    lines.append(f"  log: {failure.log}")
    return "\n".join(lines + advice)
