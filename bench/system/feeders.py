#!/usr/bin/python3
"""Question: what do feeders give where transforms are heavy, and do they change a bit? Handwritten digits,
turned so often in a row that turning costs more than training, with 0, 1, 2 and 5 feeders on this machine.

All processes share the cores there are, so no number of feeders can be faster than rows x cores / cpu-s, the
processor seconds of all processes of the same run: that is printed as `most`, with the share of it that was
reached. Rows/s and cpu-s are those of the epochs of a long job that a short one does not have: starting and
ending fall out. Bounds: 1 and 2 feeders reach >= 0.7 of that (medians of 0.78 and 0.91 were seen on two cores,
0.82 without feeders, and a tenth is what a busy machine takes); order ledger and weights are the same bits with
any number of feeders, more than there are cores too.

    bench/system/feeders.py [--turns 16] [--epochs 12] [--rounds 3] [--bin-dir DIR]
    bench/system/feeders.py --smoke      jobs of one and two epochs, 2 turns
"""

import json
import os
import resource
import statistics
import sys

from jobs import DIGITS, ROOT, bench_parser, digits, run_job

sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402

FEEDERS = (0, 1, 2, 5)
JUDGED, SHARE_BOUND = (1, 2), 0.7
TURN = """[[data.transform]]
kind = "random_rotate"
column = "pixels"
shape = [8, 8]
degrees = 10
"""


def write_job(path, turns):
    """The digits' job, each picture turned so many times."""
    text = DIGITS.read_text(encoding="utf-8")
    at = text.index("[model]")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text[:at] + turns * TURN + text[at:], encoding="utf-8")


def processor_seconds():
    """Of all processes that this one waited for, and that those waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(job, data, feeders, epochs, options):
    before = processor_seconds()
    summary = run_job(job, f"feeders-{feeders}", options.bin_dir, data__train=data / "train",
                      data__test=data / "test", cluster__feeders=feeders, cluster__workers=1,
                      cluster__servers=1, train__epochs=epochs, train__eval_every_epochs=0)
    summary["processor_seconds"] = processor_seconds() - before
    return summary


def measure(job, data, feeders, options):
    """-> of one round: rows/s, cpu-s, the most rows/s that leaves, the share of it, and the bits"""
    short = run(job, data, feeders, 1, options)
    whole = run(job, data, feeders, 1 + options.epochs, options)
    rows, seconds, processor = (max(whole[key] - short[key], 1e-9) for key in
                                ("samples", "wall_seconds", "processor_seconds"))
    most = rows * len(os.sched_getaffinity(0)) / processor
    return {"rows_per_second": rows / seconds, "processor_seconds": processor, "most": most,
            "share": rows / seconds / most,
            "fed": whole.get("rows_fed", 0) / whole["samples"]}, bits(short) + bits(whole)


def bits(summary):
    return (summary["weights_xxh3"], json.dumps(summary["order_ledger"]), summary["samples"])


def main():
    parser = bench_parser(__doc__)
    parser.add_argument("--turns", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.smoke:
        options.turns, options.epochs, options.rounds = 2, 1, 1
    job = ROOT / "runs/bench/feeders.toml"
    write_job(job, options.turns)
    data = digits("feeders-digits", options.bin_dir)
    found = {feeders: [] for feeders in FEEDERS}
    ends = set()
    for _ in range(options.rounds):
        for feeders in FEEDERS:
            figures, end = measure(job, data, feeders, options)
            found[feeders].append(figures)
            ends.add(end)
    if len(ends) != 1:
        sys.exit(f"other bits with another number of feeders: {sorted(ends)}")
    results = {feeders: {key: round(statistics.median(each[key] for each in figures), 3)
                         for key in figures[0]} for feeders, figures in found.items()}
    print(json.dumps({"bench": "feeders", "n": options.rounds, "turns": options.turns,
                      "cores": len(os.sched_getaffinity(0)), "results": results}, indent=1))
    alone = results[0]
    for feeders, each in results.items():
        print(f"{feeders} feeders: {each['rows_per_second']:.0f} rows/s, "
              f"{each['rows_per_second'] / alone['rows_per_second']:.2f}x of none, at most "
              f"{each['most'] / alone['rows_per_second']:.2f}x here: {100 * each['share']:.0f} % of "
              f"what its {each['processor_seconds']:.1f} cpu-s allow")
    print("order ledger and weights: the same bits with 0, 1, 2 and 5 feeders")
    bounds = Bounds(options.smoke)
    for feeders in JUDGED:
        bounds.at_least(f"{feeders} feeders, of what the cores allow", results[feeders]["share"],
                        SHARE_BOUND)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
