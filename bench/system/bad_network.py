#!/usr/bin/python3
"""Question: what does a bad network cost, and is a narrow one kept busy? Blocks of a data set read from an
object store on this machine (tests/support/object_store.py), through the loader's BlockStore: blocks as
`data convert` makes them, as many ahead as a worker with 8 lanes asks for.

calm: every answer 30 to 40 ms late, so that answers overtake each other. stormy: the same with 1 % 503,
0.1 % cut short, flipped bits and stalls, from one seed a round. Bounds, of all rounds together: stormy gives
the same rows at >= 0.9x of calm's rate; with all connections together held to --link-mb a second, that link
is >= 0.9x busy. Over the rounds each kind of fault has to strike in each storm, or nothing is said (exit
code 1): the seeds of 5 rounds of 1 GiB do.

    bench/system/bad_network.py [--mb 1024] [--link-mb 100] [--rounds 5] [--bin-dir DIR]
    bench/system/bad_network.py --smoke      a few blocks, nothing is judged
"""

import collections
import json
import shutil
import statistics
import subprocess
import sys
import time

from jobs import RELEASE, ROOT, bench_parser

sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/support"), str(ROOT / "launch")]
import numpy  # noqa: E402
from ballast_data import ChunkWriter, commit  # noqa: E402
from bounds import Bounds  # noqa: E402
from object_store import FAULTS, ObjectStore  # noqa: E402

BLOCK_BYTES, AHEAD = 2 << 20, 32
STORM = {"error_503": 0.01, "cut": 0.001, "stall": 0.001, "flip": 0.001}
RATE_BOUND, LINK_BOUND = 0.9, 0.9


def make_data(folder, megabytes):
    """Rows of 1 KiB that nothing can compress."""
    shutil.rmtree(folder, ignore_errors=True)
    rows = megabytes * 1000
    writer = ChunkWriter(folder, {"x": ("u8", (1020,)), "label": "i32"}, "label",
                         block_bytes=BLOCK_BYTES, chunk_bytes=128 << 20)
    generator = numpy.random.default_rng(1)
    for begin in range(0, rows, 4096):
        count = min(4096, rows - begin)
        writer.write({"x": generator.integers(0, 256, (count, 1020), dtype=numpy.uint8),
                      "label": numpy.arange(begin, begin + count, dtype=numpy.int32) % 10})
    commit(folder, [writer.close()])


def read(options, seed=0, **store):
    """-> (hash of all rows, bytes/s, what the store counted)"""
    with ObjectStore(options.folder.parent, seed=seed, delay_ms=30, jitter_ms=10,
                     **store) as server:
        for path in options.folder.iterdir():
            server.object(path)  # in the store's memory, with its hash, before the clock starts
        command = [options.bin_dir / "read-blocks", f"{server.url}/{options.folder.name}", "", "1",
                   "x", "label", "1", str(AHEAD)]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begin
        if done.returncode != 0:
            sys.exit(f"read-blocks ended with {done.returncode}:\n{done.stderr}")
        return done.stdout.strip(), options.bytes / seconds, server.counts


def main():
    parser = bench_parser(__doc__, RELEASE)
    parser.add_argument("--mb", type=int, default=1024)
    parser.add_argument("--link-mb", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.smoke:
        options.mb, options.rounds = 4, 1
    options.folder = ROOT / "runs/bench/bad-network/data"
    make_data(options.folder, options.mb)
    options.bytes = sum(path.stat().st_size for path in options.folder.glob("*.blc"))
    link = options.link_mb * 1e6
    kinds = {"calm": {}, "stormy": STORM, "narrow": {"bytes_per_second": link},
             "narrow, stormy": {"bytes_per_second": link, **STORM}}
    found = {kind: [] for kind in kinds}
    hashes, counts = set(), {kind: collections.Counter() for kind in kinds}
    for seed in range(options.rounds):
        for kind, store in kinds.items():
            digest, rate, counted = read(options, seed, **store)
            hashes.add(digest)
            found[kind].append(rate)
            counts[kind] += counted
    shutil.rmtree(options.folder)
    if len(hashes) != 1:
        sys.exit(f"other rows came: {hashes}")
    # Of all rounds together: a median would outvote a stall.
    rate = {kind: statistics.harmonic_mean(rates) for kind, rates in found.items()}
    print(json.dumps({"bench": "bad_network", "n": options.rounds, "megabytes": options.mb,
                      "mb_per_second": {kind: [round(each / 1e6, 1) for each in rates]
                                        for kind, rates in found.items()},
                      "counts": counts}, indent=1))
    missing = [f"{fault} in {kind}" for kind in ("stormy", "narrow, stormy") for fault in FAULTS
               if not counts[kind][fault]]
    if missing and not options.smoke:
        sys.exit(f"never struck: {', '.join(missing)}; more --rounds or --mb bring more of them")
    bounds = Bounds(options.smoke)
    bounds.at_least("stormy / calm", rate["stormy"] / rate["calm"], RATE_BOUND)
    bounds.at_least("narrow link, busy", rate["narrow"] / link, LINK_BOUND)
    bounds.at_least("narrow link, stormy / calm", rate["narrow, stormy"] / rate["narrow"],
                    RATE_BOUND)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
