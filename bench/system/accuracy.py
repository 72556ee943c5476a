#!/usr/bin/python3
"""Question: does every mode learn as well as it should? Fashion-MNIST, five seeds of each mode.

The job of launch/examples/fashion_mnist.toml (MLP 256-128, Adam, batch 128, 10 epochs, 2 servers, 2
workers). Bounds: sync: mean test accuracy >= 0.884, none below 0.878; ssp (staleness 4) and async: mean
not more than 0.005 below sync's. Exit code 1 when one is missed.

    bench/system/accuracy.py --data DIR [--seeds 5] [--modes sync ssp async]
    bench/system/accuracy.py --smoke      the bundled digits, one seed, a few steps, nothing is judged

DIR: has train/ and test/ as made by `ballast data convert --format idx`.
"""

import json
import pathlib
import statistics
import sys

from jobs import DIGITS, ROOT, bench_parser, digits, run_job

sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402

JOB = ROOT / "launch/examples/fashion_mnist.toml"
MEAN_BOUND, LEAST_BOUND, BEHIND_BOUND = 0.884, 0.878, 0.005


def measure(options):
    found = {mode: [] for mode in options.modes}
    job, length = (DIGITS, {"train__max_steps": 20}) if options.smoke else (JOB, {})
    for seed in range(1, options.seeds + 1):
        for mode in options.modes:
            summary = run_job(job, f"accuracy-{mode}", options.bin_dir,
                              data__train=options.data / "train", data__test=options.data / "test",
                              train__mode=mode, job__seed=seed, **length)
            found[mode].append({"seed": seed, "test_accuracy": summary["metrics"]["test_accuracy"],
                                "wall_seconds": round(summary["wall_seconds"], 2),
                                "weights_xxh3": summary["weights_xxh3"]})
            print(f"{mode:5} seed {seed}: {found[mode][-1]['test_accuracy']:.4f}", file=sys.stderr)
    return found


def summarize(found):
    """By mode: mean, least and all runs."""
    results = {}
    for mode, runs in found.items():
        scores = [run["test_accuracy"] for run in runs]
        results[mode] = {"mean": round(statistics.mean(scores), 4), "least": min(scores),
                         "runs": runs}
    return results


def judge(results, smoke):
    """The exit code."""
    bounds = Bounds(smoke)
    for mode, result in results.items():
        if mode == "sync":
            bounds.at_least("sync, mean", result["mean"], MEAN_BOUND)
            bounds.at_least("sync, least", result["least"], LEAST_BOUND)
        elif "sync" in results:
            behind = round(results["sync"]["mean"] - result["mean"], 4)
            bounds.at_most(f"{mode}, mean behind sync", behind, BEHIND_BOUND)
    return bounds.exit_code()


def main():
    parser = bench_parser(__doc__)
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", choices=["sync", "ssp", "async"],
                        default=["sync", "ssp", "async"])
    options = parser.parse_args()
    if options.smoke:
        options.data, options.seeds = digits("accuracy-digits", options.bin_dir), 1
    elif not options.data:
        parser.error("--data DIR is needed, but for --smoke")
    results = summarize(measure(options))
    print(json.dumps({"bench": "accuracy, Fashion-MNIST", "results": results}, indent=1))
    return judge(results, options.smoke)


if __name__ == "__main__":
    sys.exit(main())
