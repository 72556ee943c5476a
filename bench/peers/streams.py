#!/usr/bin/env python3
"""Question: how fast does Ballast stream shuffled, verified rows from disk beside the loaders people
use for data larger than memory?

Samples of 160 B, 3 KB and 100 KB (f32 values and a label), page cache warm. Beside it PyTorch's
DataLoader over a memory map given whole index batches, MosaicML Streaming and WebDataset, each with
0 and 2 worker processes, the faster counting, the last two over few of the samples; and numpy's
fancy indexing of the same rows, all in memory, by batches of a permutation: nothing is read,
verified or planned. Rows/s of wall time, each of the second epoch of one loader, so that no start
of workers counts; medians of the rounds; stream_bench takes its turn in each round. Bounds: ahead
in each (> 1x), 1.2x of numpy for 160 B and 3 KB, or exit code 1.

    bench/peers/streams.py [--rounds 5]
    bench/peers/streams.py --smoke      few rows, nothing is judged; a missing package is a skip (77)
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

from packages import need

need("torch", "streaming", "webdataset")

import numpy  # noqa: E402
import streaming  # noqa: E402
import torch  # noqa: E402
import torch.utils.data  # noqa: E402
import webdataset  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402
from rates import ours, rows_per_second  # noqa: E402

# name: (values a sample, samples, batch), as in stream_bench
SHAPES = {"160 B": (39, 10_000_000, 4096), "3 KB": (784, 500_000, 512),
          "100 KB": (25_600, 15_000, 64)}
SAMPLES_OF_SLOW = {"160 B": 50_000, "3 KB": 15_000, "100 KB": 4_000}  # a pass of 1 to 4 s
WORKERS = (0, 2)
OURS = r"^(\S+ K?B) +stream +.*wall +(\d+) rows/s"


class Mapped(torch.utils.data.Dataset):
    """The rows of a batch out of a memory map."""

    def __init__(self, path, labels, width):
        self.rows = numpy.memmap(path, numpy.float32, "r", shape=(len(labels), width))
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, indices):
        return torch.from_numpy(self.rows[indices]), torch.from_numpy(self.labels[indices])


def dataloader(folder, rows, labels, batch, workers):
    path = folder / "rows.f32"
    if not path.exists():
        rows.tofile(path)
    mapped = Mapped(path, labels, rows.shape[1])
    sampler = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(mapped), batch, False)
    return torch.utils.data.DataLoader(mapped, sampler=sampler, batch_size=None,
                                       num_workers=workers, persistent_workers=workers > 0)


def mosaic(folder, rows, labels, batch, workers):
    path = folder / "mds"
    if not path.exists():
        columns = {"x": f"ndarray:float32:{rows.shape[1]}", "y": "int64"}
        with streaming.MDSWriter(out=str(path), columns=columns, hashes=["xxh64"]) as out:
            for row, label in zip(rows, labels):
                out.write({"x": row, "y": int(label)})
    streaming.base.util.clean_stale_shared_memory()
    dataset = streaming.StreamingDataset(local=str(path), shuffle=True, batch_size=batch)
    return streaming.StreamingDataLoader(dataset, batch_size=batch, num_workers=workers,
                                         persistent_workers=workers > 0)


def web(folder, rows, labels, batch, workers):
    path = folder / "tar"
    if not path.exists():
        path.mkdir()
        for shard, first in enumerate(range(0, len(rows), -(-len(rows) // 4))):
            with webdataset.TarWriter(str(path / f"{shard}.tar")) as out:
                for row in range(first, min(first + -(-len(rows) // 4), len(rows))):
                    out.write({"__key__": f"{row:08}", "x.bin": rows[row].tobytes(),
                               "y.bin": int(labels[row]).to_bytes(8, "little")})
    names = sorted(str(name) for name in path.glob("*.tar"))
    dataset = (webdataset.WebDataset(names, shardshuffle=len(names)).shuffle(1000)
               .map(lambda sample: (numpy.frombuffer(sample["x.bin"], numpy.float32),
                                    int.from_bytes(sample["y.bin"], "little")))
               .batched(batch))
    return webdataset.WebLoader(dataset, batch_size=None, num_workers=workers,
                                persistent_workers=workers > 0)


NUMPY = "numpy, rows in memory"
PEERS = {"DataLoader, memory map": dataloader, "MosaicML Streaming": mosaic, "WebDataset": web}
SLOW = ("MosaicML Streaming", "WebDataset")


class FancyIndexing:
    """Batches of rows in memory, in one order that is known before."""

    def __init__(self, rows, labels, batch):
        self.rows, self.labels = rows, labels
        order = numpy.random.default_rng(1).permutation(len(rows))
        self.batches = [order[first:first + batch] for first in range(0, len(rows), batch)]

    def __iter__(self):
        return ((self.rows[batch], self.labels[batch]) for batch in self.batches)


def rows_of(batch):
    return len(batch["y"] if isinstance(batch, dict) else batch[1])


def measure(options, folder):
    """{shape: {contender: [rows/s]}}"""
    measured = {shape: {} for shape in SHAPES}
    random = numpy.random.default_rng(1)
    data = {}
    for shape, (width, count, batch) in SHAPES.items():
        count = count // 1000 if options.smoke else count
        place = folder / shape.replace(" ", "")
        place.mkdir()
        data[shape] = (place, random.random((count, width), numpy.float32),
                       random.integers(0, 10, count), batch)
    for _ in range(options.rounds):
        for shape, speed in ours(options.bin_dir / "stream_bench", options.smoke, OURS).items():
            measured[shape].setdefault("ballast", []).append(speed)
        for shape, (place, rows, labels, batch) in data.items():
            for name, make in PEERS.items():
                slow = SAMPLES_OF_SLOW[shape] if name in SLOW else len(rows)
                count = min(slow, len(rows))
                speeds = [rows_per_second(make(place, rows[:count], labels[:count], batch, workers),
                                          count, rows_of)
                          for workers in WORKERS]
                measured[shape].setdefault(name, []).append(max(speeds))
            speed = rows_per_second(FancyIndexing(rows, labels, batch), len(rows), rows_of)
            measured[shape].setdefault(NUMPY, []).append(speed)
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bin-dir", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.rounds = 1 if options.smoke else options.rounds
    torch.set_num_threads(1)
    bounds = Bounds(options.smoke)
    results = {}
    with tempfile.TemporaryDirectory(prefix="ballast-peers-") as folder:
        for shape, runs in measure(options, pathlib.Path(folder)).items():
            results[shape] = {name: round(statistics.median(each)) for name, each in runs.items()}
    versions = {"torch": torch.__version__, "streaming": streaming.__version__,
                "webdataset": webdataset.__version__}
    print(json.dumps({"bench": "rows/s streamed", "n": options.rounds, "versions": versions,
                      "load_average": os.getloadavg()[0], "results": results}, indent=2))
    for shape, speeds in results.items():
        for name in PEERS:
            bounds.at_least(f"{shape}, rows/s of {name}", speeds["ballast"] / speeds[name], 1)
        if shape != "100 KB":
            bounds.at_least(f"{shape}, rows/s of {NUMPY}", speeds["ballast"] / speeds[NUMPY], 1.2)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
