"""`run --trace`: joins what the processes of a run wrote into one file that trace viewers read.

Each process writes RUNDIR/trace/<role>-<index>.jsonl (common/base/trace.h); RUNDIR/trace.json is the
Chrome Trace Event format, in microseconds since the start of the job. Parts of this machine share its
monotonic clock, others are aligned by their wall clock.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import socket
import time

from .errors import LauncherError

FOLDER = "trace"
VIEWERS = "https://ui.perfetto.dev or chrome://tracing"


def clock_name():
    """As common/base/trace.cc: processes with the same name have the same monotonic clock."""
    with contextlib.suppress(OSError):
        name = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        if name:
            return name
    return socket.gethostname()


@dataclasses.dataclass(frozen=True)
class Origin:
    """The start of the job, by the clocks of this machine."""

    monotonic_ns: int
    wall_ns: int
    clock: str

    @classmethod
    def now(cls):
        return cls(time.monotonic_ns(), time.time_ns(), clock_name())


def prepare(run_path):
    """An empty folder for the parts; what an earlier start traced goes."""
    folder = run_path / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for part in folder.glob("*.jsonl"):
            part.unlink()
        (run_path / "trace.json").unlink(missing_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
    except OSError as error:
        raise LauncherError(f"cannot write a trace to {error.filename or folder}: {error.strerror}; "
                            "mend that, or leave out --trace") from error


def lines_of(path):
    """The whole lines of a part: the last of a process that was killed may be cut."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value


class Part:
    """What one process wrote."""

    def __init__(self, path, pid, origin):
        self.pid = pid
        self.steps = set()
        self.spans = 0
        self.tracks = {}
        self.end = None  # its last line; nothing: it did not come to write it
        self._events = []  # (when, what goes first there, text)
        lines = lines_of(path)
        self.head = next(lines, {})
        if "monotonic_ns" not in self.head:
            raise ValueError(f"{path.name} has no first line")
        self._zero = origin.monotonic_ns
        if self.head.get("clock") != origin.clock:
            self._zero = self.head["monotonic_ns"] - (self.head["wall_ns"] - origin.wall_ns)
        for line in lines:
            if "begin" in line:
                self._add_span(line)
            elif "track" in line:
                self.tracks[line["track"]] = line["name"]
            elif "last_step" in line:
                self.end = line

    @property
    def name(self):
        return f"{self.head['role']} {self.head['index']}"

    def _add_span(self, span):
        self.spans += 1
        self.steps.add(span["args"]["step"])
        begin, end = span["begin"] - self._zero, span["end"] - self._zero
        event = {"name": span["name"], "ph": "X", "pid": self.pid, "tid": span["track"],
                 "ts": begin / 1000, "dur": (end - begin) / 1000, "args": span["args"]}
        if "id" not in span:
            self._events.append((begin, 0, -end, json.dumps(event)))
            return
        # Overlapping ones are pairs; ids are the whole file's.
        del event["dur"]
        event |= {"ph": "b", "cat": span["name"], "id": hex(self.pid << 40 | span["id"])}
        self._events.append((begin, 1, 0, json.dumps(event)))
        event |= {"ph": "e", "ts": end / 1000}
        del event["args"]
        self._events.append((end, 2, 0, json.dumps(event)))

    def events(self):
        """As text, in the order that viewers want: by time, what encloses others first."""
        label = f"{self.head.get('host', '')}, process {self.head.get('process', '')}"
        yield self._about("process_name", {"name": self.name})
        yield self._about("process_labels", {"labels": label})
        yield self._about("process_sort_index", {"sort_index": self.pid})
        for track, name in sorted(self.tracks.items()):
            yield self._about("thread_name", {"name": name}, track)
            yield self._about("thread_sort_index", {"sort_index": track}, track)
        for event in sorted(self._events):
            yield event[-1]

    def _about(self, name, args, track=0):
        return json.dumps({"name": name, "ph": "M", "pid": self.pid, "tid": track, "args": args})

    def left_out(self):
        """In words; nothing: this is all it did."""
        if self.end is None:
            return [f"{self.name} did not end by itself, or its disk was full: its last spans are "
                    "missing"]
        if "full_at_step" in self.end:
            return [f"{self.name} from step {self.end['full_at_step']} on: its part has reached its "
                    "limit"]
        return []


def place_of(path):
    """Workers first, each by its number."""
    role, _, index = path.stem.rpartition("-")
    return (role != "worker", role, int(index) if index.isdigit() else 0)


def steps_left_out(parts):
    """Steps that were done and not traced, in words."""
    traced = set().union(*(part.steps for part in parts))
    last = max((part.end["last_step"] for part in parts if part.end), default=-1)
    if traced and last > max(traced) and not any("full_at_step" in (part.end or {})
                                                 for part in parts):
        return [f"the other steps, up to {last}: trace.first_step and trace.steps say which are "
                "traced"]
    if not traced and last >= 0:
        return [f"all {last + 1} steps: trace.first_step and trace.steps say which are traced"]
    return []


def write(path, parts, broken, about):
    """-> what was left out, in words."""
    left_out = broken + [words for part in parts for words in part.left_out()]
    left_out += steps_left_out(parts)
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ms",\n"otherData": '
                       + json.dumps({**about, "left_out": left_out}) + ',\n"traceEvents": [\n')
            separator = ""
            for part in parts:
                for event in part.events():
                    file.write(separator + event)
                    separator = ",\n"
            file.write("\n]}\n")
        fresh.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    return left_out


def join(run_path, shown, origin, about):
    """RUNDIR/trace.json of the parts -> lines that say where it is, how to look at it and what is
    not in it. Whatever becomes of it, the run has ended as it has."""
    parts, broken = [], []
    for pid, path in enumerate(sorted((run_path / FOLDER).glob("*.jsonl"), key=place_of), 1):
        try:
            parts.append(Part(path, pid, origin))
        except (OSError, ValueError, KeyError, TypeError) as error:
            broken.append(f"{path.stem}: {error}")
    if not parts:
        return ["trace: none, no process wrote one; the logs say why"]
    try:
        left_out = write(run_path / "trace.json", parts, broken, about)
    except OSError as error:
        return [f"trace: cannot write {shown}/trace.json: {error.strerror}; its parts are in "
                f"{shown}/{FOLDER}"]
    steps = set().union(*(part.steps for part in parts))
    span = f"steps {min(steps)} to {max(steps)}" if steps else "no step"
    return [f"trace: {shown}/trace.json, {span}; open it in {VIEWERS}",
            *(f"  left out: {words}" for words in left_out)]
