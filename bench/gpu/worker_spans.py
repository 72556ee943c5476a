"""What the trace of a run (`ballast run --trace`) tells of its first worker, in seconds."""

import collections
import json


class WorkerSpans:
    def __init__(self, run_dir):
        whole = json.loads((run_dir / "trace.json").read_text(encoding="utf-8"))
        events = whole["traceEvents"]
        self.left_out = whole["otherData"]["left_out"]  # in words
        worker = next(event["pid"] for event in events if event["name"] == "process_name"
                      and event["args"]["name"] == "worker 0")
        rows = {event["tid"]: event["args"]["name"] for event in events
                if event["name"] == "thread_name" and event["pid"] == worker}
        self._rows = collections.defaultdict(list)
        for event in events:
            if event["ph"] == "X" and event["pid"] == worker:
                begin = event["ts"] * 1e-6
                self._rows[rows[event["tid"]]].append((begin, begin + event["dur"] * 1e-6,
                                                       event["name"]))

    def step_begins(self):
        return sorted(begin for begin, _, name in self._rows["compute"] if name == "step")

    def row(self, name, window, only=None):
        """The time of a row inside of `window`, as intervals that do not touch."""
        return union(span[:2] for span in self._rows[name] if only in (None, span[2])
                     ) & Intervals([window])

    def computing(self, window):
        return self.row("device", window)

    def copying(self, window):
        return self.row("device uploads", window) | self.row("device downloads", window)

    def writing_trace(self, window):
        return self.row("compute", window, "write trace")


class Intervals:
    """Sets of time: (begin, end), ascending and apart."""

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def seconds(self):
        return sum(end - begin for begin, end in self.pairs)

    def __or__(self, other):
        return union([*self.pairs, *other.pairs])

    def __and__(self, other):
        found, mine, theirs = [], iter(self.pairs), iter(other.pairs)
        a, b = next(mine, None), next(theirs, None)
        while a and b:
            begin, end = max(a[0], b[0]), min(a[1], b[1])
            if begin < end:
                found.append((begin, end))
            if a[1] < b[1]:
                a = next(mine, None)
            else:
                b = next(theirs, None)
        return Intervals(found)


def union(pairs):
    """Of intervals in any order."""
    found = []
    for begin, end in sorted(pairs):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return Intervals(found)
