"""Numbers and lines as people read them. Pure."""

import re

NAMES_SHOWN = 3
SHARES = ("load", "compute", "push", "wait", "pull")  # of a worker's time, in status.json
COMPUTING = ("running", "waiting")  # states of a worker that is in a step
WAITS_FOR_SHARD = re.compile(r"(shard \d+): pu(?:sh|ll) ")
WAIT_NAMED_S = 0.05  # what a shorter wait is for at this moment says little of the others
LEAD_NAMED = 0.2  # of the shares: one that others wait for waits so much less itself
NOT_JOINED = re.compile(r"(\w+ \d+) has not joined \(([\d.]+ m?s)\)")


def number(value):
    """Four significant digits, whole numbers whole, thousands apart from 10,000 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if abs(value) >= 10_000 or float(value).is_integer():
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    return f"{value:.4g}"


def byte_count(value):
    """1536 -> 1.5 KiB."""
    value = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def waiting(reason):
    """Whom a job waits for, in one short phrase."""
    absent = NOT_JOINED.findall(reason)
    if absent:
        names = [name for name, _ in absent]
        more = len(names) - NAMES_SHOWN
        shown = ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"waiting for {shown} to join ({absent[0][1]})"
    return reason if " waits for " in reason else f"waiting for {reason}"


def fed_share(counts):
    """The share of training rows that feeders gave, in words; nothing read yet: nothing."""
    rows = counts.get("rows_fed", 0) + counts.get("rows_local", 0)
    return f"{100 * counts.get('rows_fed', 0) / rows:.0f} % of rows" if rows else ""


def feeding(status):
    feeders = status["feeders"]
    up = sum(1 for feeder in feeders if feeder.get("workers"))
    return " ".join(["feeders", f"{up}/{len(feeders)}", fed_share(status)]).rstrip()


def slow_shard(workers):
    """Of whom all that wait now, and not for a moment only, have asked; or nothing."""
    found = [WAITS_FOR_SHARD.match(worker.get("waiting_for") or "") for worker in workers
             if worker.get("waiting_seconds", 0) >= WAIT_NAMED_S]
    shards = {match.group(1) for match in found if match}
    return shards.pop() if len(shards) == 1 else ""


def slow_worker(workers):
    """The one that the others wait for: it waits clearly less than each of them; or nothing."""
    waits = sorted((worker["shares"].get("wait", 0), worker.get("index", 0)) for worker in workers)
    clear = len(waits) > 1 and waits[1][0] - waits[0][0] >= LEAD_NAMED
    return f"worker {waits[0][1]}" if clear else ""


def step_share(status):
    """What takes most of the workers' time so far, and whom they wait for where that is clear; nothing
    while nobody has done a step. The share "wait" is the time until the others' pushes are there."""
    workers = [worker for worker in status.get("workers") or []
               if worker.get("state") in COMPUTING and any((worker.get("shares") or {}).values())]
    if not workers:
        return ""
    shares = {name: sum(worker["shares"].get(name, 0) for worker in workers) / len(workers)
              for name in SHARES}
    most = max(SHARES, key=shares.get)
    percent = f"{100 * shares[most]:.0f} %"
    if most == "compute":
        return f"computes {percent}"
    whom = {"wait": slow_worker, "push": slow_shard, "pull": slow_shard}.get(most, lambda _: "")
    # A single worker waits for nobody but the servers.
    name = "others" if most == "wait" and len(workers) > 1 else {"wait": "push"}.get(most, most)
    return f"waits: {name} {percent}" + (f" ({whom(workers)})" if whom(workers) else "")


def status_line(status, with_state=True):
    """One line of status.json; what it does not say is left out."""
    parts = [str(status.get("state", "starting"))] if with_state else []
    for name, total in (("epoch", "epochs"), ("step", "steps")):
        if status.get(name) is not None:
            parts.append(f"{name} {status[name]}" + (f"/{status[total]}" if status.get(total) else ""))
    if status.get("loss") is not None:
        parts.append(f"loss {number(status['loss'])}")
    # Before what a terminal of 80 columns has no room for.
    if step_share(status):
        parts.append(step_share(status))
    if status.get("samples_per_second"):
        parts.append(f"{status['samples_per_second']:,.0f} samples/s")
    if status.get("staleness_mean") is not None:
        parts.append(f"staleness {status['staleness_mean']:.2f}")
    if status.get("feeders"):
        parts.append(feeding(status))
    if status.get("waiting_for"):
        parts.append(waiting(status["waiting_for"]))
    return "  ".join(parts)


def record_line(record):
    """One line of metrics.jsonl."""
    first = [f"{key} {record[key]}" for key in ("epoch", "step") if key in record]
    rest = [f"{key} {number(value)}" for key, value in record.items()
            if key not in ("epoch", "step", "time", "test_rows") and
            isinstance(value, (int, float)) and not isinstance(value, bool)]
    return "  ".join(first + rest)


def summary_lines(summary):
    """The result of a job."""
    steps = f"{summary.get('steps', 0):,} steps"
    rate = summary.get("samples_per_second")
    speed = f" ({rate:,.0f} samples/s)" if rate else ""  # a resume with nothing left has none
    lines = [f"done: {summary.get('mode', '')}, {steps}, {number(summary.get('epochs', 0))} epochs in "
             f"{summary.get('wall_seconds', 0):.1f} s{speed}"]
    metrics = summary.get("metrics") or {}
    if metrics:
        lines.append("  ".join(f"{key} {number(value)}" for key, value in metrics.items()))
    if "rows_fed" in summary:
        lines.append(f"from feeders: {fed_share(summary)}")
    if summary.get("weights_xxh3"):
        lines.append(f"weights xxh3 {summary['weights_xxh3']}")
    return lines
