#!/usr/bin/python3
"""Question: what does each durability cost? The bundled digits, in turn, medians of the rounds.

checkpoint: acknowledged = in memory; process: survives kill -9; machine: survives a power cut, so
every group of updates is synced to the disk under runs/. Prints samples/s and the share of
"checkpoint" for sync and async, as JSON. No bound: the price is the answer.

    bench/system/durability.py [--rounds 5] [--epochs 5]
    bench/system/durability.py --smoke    one round of a few steps
"""

import json
import statistics

from jobs import DIGITS, bench_parser, digits, run_job

DURABILITIES = ("checkpoint", "process", "machine")


def measure(options):
    found = {(mode, durability): [] for mode in ("sync", "async") for durability in DURABILITIES}
    data = digits("durability-digits", options.bin_dir)
    length = {"train__max_steps": 20} if options.smoke else {"train__epochs": options.epochs}
    for _ in range(options.rounds):
        for mode, durability in found:
            summary = run_job(DIGITS, f"durability-{mode}-{durability}", options.bin_dir,
                              data__train=data / "train", data__test=data / "test",
                              train__mode=mode, checkpoint__durability=durability, **length)
            found[mode, durability].append(summary["samples_per_second"])
    return found


def main():
    parser = bench_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    if options.smoke:
        options.rounds = 1
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
