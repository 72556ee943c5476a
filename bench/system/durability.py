#!/usr/bin/python3
"""Question: what does each durability cost? The bundled digits, in turn, medians of the rounds.

checkpoint: acknowledged = in memory; process: survives kill -9; machine: survives a power cut, so
every group of updates is synced to the disk under runs/. Prints samples/s and the share of
"checkpoint" for sync and async, as JSON. No bar: the price is the answer.

    bench/system/durability.py [--rounds 5] [--epochs 5]
"""

import argparse
import json
import statistics

from jobs import ROOT, run_job

JOB = ROOT / "launch/examples/digits.toml"
DURABILITIES = ("checkpoint", "process", "machine")


def measure(options):
    found = {(mode, durability): [] for mode in ("sync", "async") for durability in DURABILITIES}
    for _ in range(options.rounds):
        for mode, durability in found:
            summary = run_job(JOB, f"durability-{mode}-{durability}", train__mode=mode,
                              train__epochs=options.epochs, checkpoint__durability=durability)
            found[mode, durability].append(summary["samples_per_second"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    found = measure(options)
    results = {}
    for (mode, durability), rates in found.items():
        base = statistics.median(found[mode, "checkpoint"])
        results.setdefault(mode, {})[durability] = {
            "samples_per_second": round(statistics.median(rates)),
            "of_checkpoint": round(statistics.median(rates) / base, 3),
            "runs": [round(rate) for rate in rates]}
    print(json.dumps({"bench": "durability", "n": options.rounds, "results": results}, indent=1))


if __name__ == "__main__":
    main()
