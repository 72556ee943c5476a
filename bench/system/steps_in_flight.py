#!/usr/bin/python3
"""Question: what does `train.steps_in_flight = 2` give, and what does it cost? Fashion-MNIST in async.

Speed: an MLP of 1024-1024, one worker and one server, so that each has a core; samples/s with one and with two
steps in flight, in turn, medians of 5. A worker that never waits would reach 1 / (the share of a step in which it
does not wait for its push) times the speed: bounds: >= 0.9 of that, and at most 0.02 of a step is left waiting.
Accuracy: the job of launch/examples/fashion_mnist.toml in async and ssp, five seeds: with two steps in flight the
mean is at most 0.005 below.

    bench/system/steps_in_flight.py --data DIR
    bench/system/steps_in_flight.py --smoke       the bundled digits, one short repeat, nothing is judged

DIR: has train/ and test/ as made by `ballast data convert --format idx`.
"""

import json
import pathlib
import re
import statistics
import sys

from jobs import DIGITS, ROOT, bench_parser, digits, run_job

sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402

FASHION = ROOT / "launch/examples/fashion_mnist.toml"
SETTINGS = {"train__mode": "async", "train__epochs": 2, "train__batch": 256, "train__lanes": 8,
            "train__eval_every_epochs": 2, "cluster__workers": 1, "cluster__servers": 1}


def wide_job(source, width):
    """`source` with hidden layers of `width` units, all but the last layer."""
    text = source.read_text(encoding="utf-8")
    count = len(re.findall(r"^units = ", text, re.M))
    path = ROOT / "runs/bench/steps_in_flight.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(re.sub(r"^units = \d+", f"units = {width}", text, count=count - 1, flags=re.M),
                    encoding="utf-8")
    return path


def waiting_share(name):
    """Of the worker's time that its step waited for answers to pushes."""
    status = json.loads((ROOT / "runs/bench" / name / "status.json").read_text(encoding="utf-8"))
    return status["workers"][0]["shares"]["push"]


def measure_speed(job, data, options):
    """-> {steps in flight: [(samples/s, share of a step in which it waits)]}"""
    found = {1: [], 2: []}
    for _ in range(1 if options.smoke else 5):
        for steps, results in found.items():
            name = f"steps-in-flight-{steps}"
            summary = run_job(job, name, options.bin_dir, **data, **SETTINGS,
                              train__steps_in_flight=steps)
            results.append((summary["samples_per_second"], waiting_share(name)))
            print(f"{steps} in flight: {results[-1][0]:.0f} samples/s, waits {results[-1][1]:.3f}, "
                  f"staleness {summary['staleness']['mean']:.2f}", flush=True)
    return found


def judge_speed(found, bounds):
    speed = {steps: statistics.median(one[0] for one in results) for steps, results in found.items()}
    waits = {steps: statistics.median(one[1] for one in results) for steps, results in found.items()}
    gain, most = speed[2] / speed[1], 1 / (1 - waits[1])
    print(f"two in flight: {gain:.2f}x the samples/s; {most:.2f}x is what waiting cost")
    bounds.at_least("two in flight, of what waiting cost", gain / most, 0.9)
    bounds.at_most("two in flight, share of a step that waits", waits[2], 0.02)


def measure_accuracy(job, data, mode, steps, options):
    """Test accuracies of the seeds."""
    settings = {"train__epochs": 2} if options.smoke else {}
    return [run_job(job, f"steps-in-flight-{mode}-{steps}", options.bin_dir, **data, **settings,
                    train__mode=mode, train__steps_in_flight=steps,
                    job__seed=seed)["metrics"]["test_accuracy"]
            for seed in range(1, 2 if options.smoke else 6)]


def judge_accuracy(job, data, options, bounds):
    for mode in ("async", "ssp"):
        means = {}
        for steps in (1, 2):
            accuracies = measure_accuracy(job, data, mode, steps, options)
            means[steps] = statistics.mean(accuracies)
            print(f"{mode}, {steps} in flight: accuracy {means[steps]:.4f}, "
                  f"least {min(accuracies):.4f}", flush=True)
        bounds.at_least(f"{mode}, accuracy of two less that of one", means[2] - means[1], -0.005)


def main():
    parser = bench_parser(__doc__)
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve())
    options = parser.parse_args()
    if options.smoke:
        options.data = digits("steps-in-flight-digits", options.bin_dir)
    elif not options.data:
        parser.error("--data DIR is needed, but for --smoke")
    source = DIGITS if options.smoke else FASHION
    data = {"data__train": options.data / "train", "data__test": options.data / "test"}
    bounds = Bounds(options.smoke)
    judge_speed(measure_speed(wide_job(source, 64 if options.smoke else 1024), data, options),
                bounds)
    judge_accuracy(source, data, options, bounds)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
