#!/usr/bin/python3
"""Question: how fast does Ballast train beside PyTorch DistributedDataParallel?

MLP 784-512-256-10, fp32, plain SGD, batch 512 a step: two workers (processes) of one thread with 256
samples each; Ballast has a server process as well, on the same cores. DDP over gloo against Ballast
sync and async, in turn, medians of the rounds. A run's samples/s is that of its median epoch, the
first left out: the time from the end of one epoch to the end of the next (DDP: its own clock;
Ballast: `time` of the lines of metrics.jsonl, so 512 test rows are evaluated each epoch, at our
cost). Bounds: sync >= 1.15x, async >= 1.2x DDP, or exit code 1. Who does not learn is an error: the
training loss of the last epoch must have fallen below half of the first's.

    bench/peers/training.py [--rounds 5] [--epochs 8] [--images FILE.gz --labels FILE.gz]
    bench/peers/training.py --smoke       few rows, nothing is judged

Without --images the data are made: ten noisy classes of 784 bytes, 59904 rows (117 whole batches).
PyTorch: see README.md; without it only Ballast runs.
"""

import argparse
import dataclasses
import gzip
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402

PEERS = ROOT / "bench/peers"
DATA = ROOT / "data/peers"
BATCH = 512
LOSS_FALLS_TO = 0.5  # of the first epoch's, or it does not learn
BOUNDS = {"sync": 1.15, "async": 1.2}  # times DDP's samples/s


@dataclasses.dataclass(frozen=True)
class Measurement:
    samples_per_second: float
    first_loss: float
    last_loss: float
    load: float  # 1-minute load average before

    def check(self, name, factor):
        if not self.last_loss < self.first_loss * factor:
            sys.exit(f"{name} does not learn: training loss {self.first_loss} -> {self.last_loss}")


def of_epochs(records, rows, load):
    seconds = statistics.median(later["time"] - earlier["time"]
                                for earlier, later in zip(records, records[1:]))
    return Measurement(rows / seconds, records[0]["train_loss"], records[-1]["train_loss"], load)


# ---------------------------------------------------------------- data


def make_rows(rows):
    """Ten classes, each a mean image; noise as large as the image."""
    random = numpy.random.default_rng(7)
    means = random.integers(0, 256, (10, 784))
    labels = random.integers(0, 10, rows).astype(numpy.uint8)
    noise = random.integers(0, 256, (rows, 784))
    pixels = ((means[labels] + 3 * noise) // 4).astype(numpy.uint8)
    return pixels, labels


def read_rows(images, labels):
    pixels = numpy.frombuffer(gzip.open(images).read(), dtype=numpy.uint8, offset=16)
    classes = numpy.frombuffer(gzip.open(labels).read(), dtype=numpy.uint8, offset=8)
    return pixels.reshape(len(classes), -1), classes


def write_idx(prefix, pixels, labels):
    sizes = [len(labels), 28, 28]
    pathlib.Path(f"{prefix}-images").write_bytes(
        numpy.array([2051, *sizes], dtype=">i4").tobytes() + pixels.tobytes())
    pathlib.Path(f"{prefix}-labels").write_bytes(
        numpy.array([2049, len(labels)], dtype=">i4").tobytes() + labels.tobytes())


def ballast(options, *words):
    programs = ["--bin-dir", options.bin_dir] if options.bin_dir else []
    subprocess.run([ROOT / "launch/ballast", *programs, *words], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)


def prepare(options):
    """IDX files and data sets of whole batches: train, and one batch as test. The number of rows."""
    if options.images:
        pixels, labels = read_rows(options.images, options.labels)
    else:
        pixels, labels = make_rows(8 * BATCH if options.smoke else 117 * BATCH)
    rows = len(labels) // BATCH * BATCH
    DATA.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", rows), ("test", BATCH)):
        prefix = DATA / name
        write_idx(f"{prefix}.idx", pixels[:count], labels[:count])
        ballast(options, "data", "convert", "--format", "idx", f"{prefix}.idx-images",
                f"{prefix}.idx-labels", "--out", prefix, "--overwrite")
    return rows


# ---------------------------------------------------------------- contenders


def run_ballast(mode, options, rows):
    load = os.getloadavg()[0]
    run_dir = ROOT / "runs/peers" / mode
    shutil.rmtree(run_dir, ignore_errors=True)
    ballast(options, "run", PEERS / "mlp.toml", "--quiet", "--run-dir", run_dir,
            "--set", f"train.mode={mode}", "--set", f"train.epochs={options.epochs}")
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return of_epochs([json.loads(line) for line in lines], rows, load)


def has_fast_blas():
    """Debian's torch takes whatever libblas.so.3 is; the reference one is 10x slower than OpenBLAS."""
    return "openblas" in os.path.realpath("/usr/lib/x86_64-linux-gnu/libblas.so.3")


def run_ddp(epochs, rows):
    load = os.getloadavg()[0]
    done = subprocess.run([sys.executable, PEERS / "ddp_mlp.py", DATA / "train.idx", "--epochs",
                           str(epochs)], check=True, stdout=subprocess.PIPE)
    return of_epochs(json.loads(done.stdout)["epochs"], rows, load)


def measure(options, rows):
    contenders = {}
    if importlib.util.find_spec("torch"):
        if not has_fast_blas():
            sys.exit("PyTorch would run on the reference BLAS: apt-get install libopenblas0-pthread")
        contenders["ddp"] = lambda: run_ddp(options.epochs, rows)
    for mode in BOUNDS:
        contenders[mode] = lambda mode=mode: run_ballast(mode, options, rows)
    measured = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, run in contenders.items():
            one = run()
            one.check(name, 1 if options.smoke else LOSS_FALLS_TO)
            measured[name].append(one)
            time.sleep(0.2)
    return measured


# ---------------------------------------------------------------- report


def summarize(measured):
    medians = {name: statistics.median(one.samples_per_second for one in runs)
               for name, runs in measured.items()}
    results = {}
    for name, runs in measured.items():
        results[name] = {
            "samples_per_second": round(medians[name]),
            "runs": [round(one.samples_per_second) for one in runs],
            "train_loss": [round(statistics.median(one.first_loss for one in runs), 4),
                           round(statistics.median(one.last_loss for one in runs), 4)],
            "load_average": [one.load for one in runs],
        }
        if "ddp" in medians:
            results[name]["of_ddp"] = round(medians[name] / medians["ddp"], 3)
    return results


def judge(results, smoke):
    """The exit code. Without PyTorch there is nothing to compare with."""
    bounds = Bounds(smoke)
    for mode, bound in BOUNDS.items():
        if "of_ddp" in results[mode]:
            bounds.at_least(f"{mode}, samples/s of DDP", results[mode]["of_ddp"], bound)
    return bounds.exit_code()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", help="IDX, gzip: images of 784 bytes")
    parser.add_argument("--labels", help="IDX, gzip")
    parser.add_argument("--bin-dir", help="programs to run (default: as launch/ballast finds them)")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if bool(options.images) != bool(options.labels):
        parser.error("--images and --labels come together")
    if options.smoke:
        options.rounds, options.epochs = 1, 6
    rows = prepare(options)
    results = summarize(measure(options, rows))
    print(json.dumps({"bench": "training beside PyTorch DDP", "rows": rows, "batch": BATCH,
                      "epochs": options.epochs, "n": options.rounds, "results": results}, indent=2))
    return judge(results, options.smoke)


if __name__ == "__main__":
    sys.exit(main())
