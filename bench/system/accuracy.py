#!/usr/bin/python3
"""Question: does every mode learn as well as it should? Fashion-MNIST, five seeds of each mode.

The job of launch/examples/fashion_mnist.toml (MLP 256-128, Adam, batch 128, 10 epochs, 2 servers, 2
workers). Bars: sync: mean test accuracy >= 0.884, none below 0.878; ssp (staleness 4) and async: mean
not more than 0.005 below sync's. Exit code 1 when one is missed.

    bench/system/accuracy.py --data DIR [--seeds 5] [--modes sync ssp async]

DIR: has train/ and test/ as made by `ballast data convert --format idx`.
"""

import argparse
import json
import pathlib
import statistics
import sys

from jobs import ROOT, run_job

JOB = ROOT / "launch/examples/fashion_mnist.toml"
MEAN_BAR, LEAST_BAR, BEHIND_BAR = 0.884, 0.878, 0.005


def measure(options):
    found = {mode: [] for mode in options.modes}
    for seed in range(1, options.seeds + 1):
        for mode in options.modes:
            summary = run_job(JOB, f"accuracy-{mode}", data__train=options.data / "train",
                              data__test=options.data / "test", train__mode=mode, job__seed=seed)
            found[mode].append({"seed": seed, "test_accuracy": summary["metrics"]["test_accuracy"],
                                "wall_seconds": round(summary["wall_seconds"], 2),
                                "weights_xxh3": summary["weights_xxh3"]})
            print(f"{mode:5} seed {seed}: {found[mode][-1]['test_accuracy']:.4f}", file=sys.stderr)
    return found


def judge(found):
    """By mode: mean, least and whether its bar is met."""
    results = {}
    for mode, runs in found.items():
        scores = [run["test_accuracy"] for run in runs]
        results[mode] = {"mean": round(statistics.mean(scores), 4), "least": min(scores),
                         "runs": runs}
    for mode, result in results.items():
        if mode == "sync":
            result["met"] = result["mean"] >= MEAN_BAR and result["least"] >= LEAST_BAR
        elif "sync" in results:
            result["met"] = result["mean"] >= results["sync"]["mean"] - BEHIND_BAR
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", choices=["sync", "ssp", "async"],
                        default=["sync", "ssp", "async"])
    results = judge(measure(parser.parse_args()))
    print(json.dumps({"bench": "accuracy, Fashion-MNIST", "results": results}, indent=1))
    sys.exit(0 if all(result.get("met", True) for result in results.values()) else 1)


if __name__ == "__main__":
    main()
