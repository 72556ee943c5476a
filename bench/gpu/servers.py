"""Training with servers on the same host: what of a step's speed is left, against what its bytes allow.

One worker, two servers, async with two steps in flight. Rates are of the pushes between WARM and the
last, from the begins of the worker's steps in the run's trace: without the start, the first pull and
the end. What an exchange takes is measured with batches of few rows, whose arithmetic is nothing;
that a push takes the longer of its arithmetic and its exchange is the prediction.
"""

import dataclasses
import pathlib
import random
import shutil
import struct
import tempfile

from networks import LARGE, TINY
from programs import Wrong
from worker_spans import WorkerSpans

WARM = 4  # pushes that count for nothing

JOB = """
[job]
name = "servers"
[data]
train = "{data}"
features = ["x"]
label = "label"
rate = {rate!r}
[[data.transform]]
kind = "scale"
column = "x"
factor = 0.00392156862745098
[model]
loss = "softmax_cross_entropy"
{layers}
[train]
mode = "async"
steps_in_flight = 2
push = "gradient"
batch = {batch}
local_steps = {local_steps}
lanes = 1
eval_every_epochs = 0
[train.optimizer]
learning_rate = 1e-4
[cluster]
servers = 2
workers = 1
"""


@dataclasses.dataclass(frozen=True)
class Size:
    name: str  # as device_bench says it
    widths: tuple
    batch: int
    rows: int
    few_rows: int  # of a batch that costs nothing but its exchange
    pushes: int
    local_steps: tuple

    def job(self, data, batch, local_steps):
        """One epoch: a step ends with its epoch, so that has to be long enough for all pushes."""
        layers = [f'[[layer]]\nkind = "dense"\nunits = {width}\nactivation = "relu"\n'
                  for width in self.widths[1:-1]]
        layers.append(f'[[layer]]\nkind = "dense"\nunits = {self.widths[-1]}\n')
        rate = self.pushes * local_steps * batch / self.rows
        return JOB.format(data=data, rate=rate, layers="".join(layers), batch=batch,
                          local_steps=local_steps)


FULL = Size("large", *LARGE, rows=8192, few_rows=16, pushes=20, local_steps=(1, 8, 32, 128))
SMOKE = Size("tiny", *TINY, rows=64, few_rows=2, pushes=8, local_steps=(1, 8))


@dataclasses.dataclass(frozen=True)
class Pace:
    """Of the measured pushes of a run."""

    seconds: float  # of a push
    exchange_bytes: float  # pushed and pulled for it
    spans: WorkerSpans
    window: tuple


class Servers:
    def __init__(self, programs, record):
        self.programs, self.record = programs, record
        self.size = FULL if programs.judged else SMOKE
        self.fast = "bf16" if programs.device == "cuda" else "fp32"
        self.missing = set()  # figures of device_bench

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = pathlib.Path(folder)
            self._make_data()
            exchange = self._pace(self.fast, self.size.few_rows, 1)
            bytes_per_second = exchange.exchange_bytes / exchange.seconds
            self.record.add("servers, exchange", bytes_per_second * 1e-9, "GB/s")
            self._without_servers("fp32", 8, 0.8)
            for local_steps in self.size.local_steps:
                self._predicted(local_steps, bytes_per_second)
        if self.missing:
            raise Wrong(f"no figure of {' and of '.join(sorted(self.missing))}; run the stages device "
                        "and servers together")

    def _without_servers(self, precision, local_steps, bound):
        """Held against the same step without any parameter server."""
        name, rate, _ = self._measure(precision, local_steps)
        alone = self._alone(precision)
        if alone:
            self._hold(name, "without servers", rate / alone, bound)

    def _predicted(self, local_steps, bytes_per_second):
        name, rate, pace = self._measure(self.fast, local_steps)
        alone = self._alone(self.fast)
        if not alone:
            return
        samples = self.size.batch * local_steps
        compute = samples / alone
        seconds = max(compute, pace.exchange_bytes / bytes_per_second)
        self.record.add(f"{name}, predicted", samples / seconds, "samples/s")
        self.record.add(f"{name}, predicted share of computing", compute / seconds, "of_time")
        self._hold(name, "prediction", rate * seconds / samples, 0.85)

    def _alone(self, precision):
        """Samples a second of device_bench's step, whose gradients stay on the device, if it was run."""
        name = f"{precision}: step of {self.size.name} MLP, gradients stay"
        if self.record.value(name) is None:
            self.missing.add(name)
        return self.record.value(name)

    def _hold(self, name, floor, share, bound):
        self.record.add(f"{name} / {floor}", share, "x")
        if self.programs.judged:
            self.record.bounds.at_least(f"{name} / {floor}", share, bound)

    def _measure(self, precision, local_steps):
        """-> (name, samples/s, pace); and what its trace tells of the device."""
        pace = self._pace(precision, self.size.batch, local_steps)
        name = f"servers, {precision}, local_steps = {local_steps}"
        rate = self.size.batch * local_steps / pace.seconds
        self.record.add(name, rate, "samples/s")
        wall = pace.window[1] - pace.window[0]
        computing, copying = pace.spans.computing(pace.window), pace.spans.copying(pace.window)
        self.record.add(f"{name}, device computes", computing.seconds() / wall, "of_time")
        if copying.seconds() > 0:
            hidden = (copying & computing).seconds() / copying.seconds()
            self.record.add(f"{name}, copies", copying.seconds() / wall, "of_time")
            self.record.add(f"{name}, copies beside computing", hidden, "of_copies")
        self.record.add(f"{name}, writes its trace",
                        pace.spans.writing_trace(pace.window).seconds() / wall, "of_time")
        return name, rate, pace

    def _pace(self, precision, batch, local_steps):
        job, run = self.folder / "job.toml", self.folder / "run"
        job.write_text(self.size.job(self.folder / "data", batch, local_steps), encoding="utf-8")
        settings = {"train.precision": precision} if self.programs.device == "cuda" else {}
        summary = self.programs.job(job, run, settings, "--trace")
        spans = WorkerSpans(run)
        shutil.rmtree(run)  # gigabytes
        begins = spans.step_begins()
        if summary["steps"] != self.size.pushes or len(begins) != self.size.pushes:
            raise Wrong(f"local_steps = {local_steps}: {self.size.pushes} steps expected, "
                        f"{summary['steps']} done, {len(begins)} traced")
        if spans.left_out:
            raise Wrong(f"local_steps = {local_steps}: the trace lacks {'; '.join(spans.left_out)}")
        window = (begins[WARM], begins[-1])
        # Each push is answered with the weights; bytes_pulled has the first ones, too.
        return Pace((window[1] - window[0]) / (len(begins) - 1 - WARM),
                    2 * summary["bytes_pushed"] / len(begins), spans, window)

    def _make_data(self):
        """Random bytes and classes: what they are changes no figure."""
        draw, size = random.Random(1), self.size
        features, labels = self.folder / "x.npy", self.folder / "label.npy"
        write_npy(features, "|u1", (size.rows, size.widths[0]),
                  draw.randbytes(size.rows * size.widths[0]))
        classes = [draw.randrange(size.widths[-1]) for _ in range(size.rows)]
        write_npy(labels, "<i4", (size.rows,), struct.pack(f"<{size.rows}i", *classes))
        self.programs.convert("--format", "npy", "--column", f"x={features}", "--column",
                              f"label={labels}", "--label", "label", "--out", self.folder / "data")


def write_npy(path, kind, shape, values):
    """NumPy's format, version 1.0: a machine with a GPU may lack NumPy."""
    head = repr({"descr": kind, "fortran_order": False, "shape": shape})
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + values)
