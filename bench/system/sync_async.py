#!/usr/bin/python3
"""Question: what does waiting for a slow worker cost? `ballast bench sync-async` on Fashion-MNIST.

The job of launch/examples/fashion_mnist.toml for 4 epochs in sync, ssp and async, undisturbed, with
one of two workers 4x slower, and with pauses; medians of 5 repeats. Bound: with the slow worker async
needs <= 0.75x of sync's wall time, or exit code 1. results.json and the plots go to
bench/results/sync_async.

    bench/system/sync_async.py --data DIR [--out DIR]
    bench/system/sync_async.py --smoke    the bundled digits, one short repeat, nothing is judged

DIR: has train/ and test/ as made by `ballast data convert --format idx`.
"""

import json
import os
import pathlib
import shutil
import sys

from jobs import DIGITS, ROOT, ballast, bench_parser, digits

sys.path.append(str(ROOT / "bench"))
import provenance  # noqa: E402
from bounds import Bounds  # noqa: E402

JOB = ROOT / "launch/examples/fashion_mnist.toml"
RUNS = ROOT / "runs/bench/sync-async"
BOUND = 0.75  # of sync's wall time


def measure(options):
    """results.json and the plots, in RUNS; its table is shown."""
    shutil.rmtree(RUNS, ignore_errors=True)
    job, repeats, length = (DIGITS, 1, "train.max_steps=20") if options.smoke else (
        JOB, 5, "train.epochs=4")
    print(ballast("bench", "sync-async", job.relative_to(ROOT), "--repeats", str(repeats), "--out",
                  RUNS, "--set", f"data.train={options.data}/train", "--set",
                  f"data.test={options.data}/test", "--set", length, bin_dir=options.bin_dir))


def without_places(text, data):
    """No folder of the machine: the data are in DIR, the rest is relative to the checkout."""
    return text.replace(str(data), "DIR").replace(f"{ROOT}/", "")


def keep(measured, out, data, before):
    """Copies the folder `measured` to `out`, with its provenance. -> the results"""
    text = without_places((measured / "results.json").read_text(encoding="utf-8"), data)
    results = json.loads(text) | before | {"load_average_after": os.getloadavg()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for plot in measured.glob("*.png"):
        shutil.copyfile(plot, out / plot.name)
    return results


def judge(results, smoke):
    """The exit code, from the medians of wall time with the slow worker."""
    seconds = {row["mode"]: row["wall_seconds"] for row in results["rows"]
               if row["condition"] == "slow worker"}
    bounds = Bounds(smoke)
    bounds.at_most("slow worker, async / sync wall time", seconds["async"] / seconds["sync"], BOUND)
    return bounds.exit_code()


def main():
    parser = bench_parser(__doc__)
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/results/sync_async")
    options = parser.parse_args()
    if options.smoke:
        options.data = digits("sync-async-digits", options.bin_dir)
        options.out = ROOT / "runs/bench/sync-async-kept"
    elif not options.data:
        parser.error("--data DIR is needed, but for --smoke")
    before = {"commit": provenance.commit(), "load_average_before": os.getloadavg()}
    measure(options)
    return judge(keep(RUNS, options.out, options.data, before), options.smoke)


if __name__ == "__main__":
    sys.exit(main())
