#!/usr/bin/env python3
"""Question: how fast does ballast_data write rows from Python beside the writers people use?

Rows of 160 B (a label i32, 13 f32, 26 i32), one process, to the disk of --folder. Ours twice: whole
batches, as Spark, Ray and Dask hand them over, and one row a call, as the others are called.
Ours checks, hashes every buffer and fsyncs every chunk; MosaicML Streaming and WebDataset write
without hashes, at their best setting a row as bytes that nobody knows more of, MDS also with typed
columns. Rows/s of wall time, medians of the rounds. Bounds: batches ahead of each (> 1x), row by
row of MDS with typed columns and of WebDataset, or exit code 1.

    bench/peers/writers.py [--rounds 5] [--folder DIR]
    bench/peers/writers.py --smoke      few rows, nothing is judged; a missing package is a skip
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from packages import need

need("numpy", "flatbuffers", "xxhash", "streaming", "webdataset")

import numpy  # noqa: E402
import streaming  # noqa: E402
import webdataset  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "launch")]
from ballast_data import ChunkWriter, commit  # noqa: E402
from bounds import Bounds  # noqa: E402

BATCH = 8192
COLUMNS = {"label": "i32", "x": ("f32", (13,)), "c": ("i32", (26,))}
MDS = {"label": "int32", "x": "ndarray:float32:13", "c": "ndarray:int32:26"}


def made_up(count):
    random = numpy.random.default_rng(1)
    return {"label": random.integers(0, 2, count, numpy.int32),
            "x": random.random((count, 13), numpy.float32),
            "c": random.integers(0, 1 << 20, (count, 26), numpy.int32)}


def ballast(batch):
    def write(folder, rows):
        count = len(rows["label"])
        with ChunkWriter(folder, COLUMNS, "label") as writer:
            for first in range(0, count, batch):
                writer.write({name: values[first:first + batch] for name, values in rows.items()})
        return commit(folder, [writer.close()]).rows

    return write


def mds(folder, rows):
    with streaming.MDSWriter(out=folder, columns=MDS) as out:
        for label, x, c in zip(rows["label"], rows["x"], rows["c"]):
            out.write({"label": label, "x": x, "c": c})
    return sum(shard["samples"] for shard in index_of(folder))


def mds_bytes(folder, rows):
    with streaming.MDSWriter(out=folder, columns={"row": "bytes"}) as out:
        for label, x, c in zip(rows["label"], rows["x"], rows["c"]):
            out.write({"row": label.tobytes() + x.tobytes() + c.tobytes()})
    return sum(shard["samples"] for shard in index_of(folder))


def index_of(folder):
    return json.loads((pathlib.Path(folder) / "index.json").read_text())["shards"]


def web(folder, rows):
    os.mkdir(folder)
    written = 0
    with webdataset.TarWriter(f"{folder}/0.tar") as out:
        for label, x, c in zip(rows["label"], rows["x"], rows["c"]):
            out.write({"__key__": f"{written:08}",
                       "row.bin": label.tobytes() + x.tobytes() + c.tobytes()})
            written += 1
    return written


# name: (write, rows): about a second each
OURS = {"ballast, batches": (ballast(BATCH), 2_000_000),
        "ballast, row by row": (ballast(1), 100_000)}
PEERS = {"MDS, bytes": (mds_bytes, 30_000), "MDS, typed columns": (mds, 30_000),
         "WebDataset": (web, 15_000)}


def measure(rounds, folder, smoke):
    """{contender: [rows/s]}"""
    measured = {}
    rows = made_up(max(count for _, count in OURS.values()) // (100 if smoke else 1))
    for _ in range(rounds):
        for name, (write, count) in (OURS | PEERS).items():
            count //= 100 if smoke else 1
            part = {column: values[:count] for column, values in rows.items()}
            with tempfile.TemporaryDirectory(prefix="ballast-writers-", dir=folder) as place:
                start = time.monotonic()
                written = write(f"{place}/out", part)
                measured.setdefault(name, []).append(count / (time.monotonic() - start))
            assert written == count, f"{name}: {written} rows, {count} expected"
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to write; default: the system's temporary folder")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    rounds = 1 if options.smoke else options.rounds
    bounds = Bounds(options.smoke)
    results = {name: round(statistics.median(speeds)) for name, speeds in
               measure(rounds, options.folder, options.smoke).items()}
    versions = {"numpy": numpy.__version__, "streaming": streaming.__version__,
                "webdataset": webdataset.__version__}
    print(json.dumps({"bench": "rows/s written, 160 B", "n": rounds, "versions": versions,
                      "load_average": os.getloadavg()[0], "results": results}, indent=2))
    for ours in OURS:
        for peer in PEERS if ours == "ballast, batches" else ("MDS, typed columns", "WebDataset"):
            bounds.at_least(f"{ours}, rows/s of {peer}", results[ours] / results[peer], 1)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
