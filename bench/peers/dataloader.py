#!/usr/bin/python3
"""Question: how fast does Ballast's loader hand out shuffled rows beside PyTorch's DataLoader?

Rows of 784 values, u8 (widened and scaled to floats) and f32, in memory, full shuffle, batches of
128. DataLoader over a Dataset of single rows, as its tutorial has it, with 0 and 2 worker processes,
and given whole index batches (batch_size=None with a BatchSampler), which few do. Rows/s of wall
time, of an epoch whose workers stand since the one before, medians of the rounds; loader_bench takes
its turn in each round. Bound: >= 3x DataLoader (the faster of 0 and 2 workers), or exit code 1.

    bench/peers/dataloader.py [--rounds 5]
    bench/peers/dataloader.py --smoke     few rows, nothing is judged; without PyTorch a skip (77)
"""

import argparse
import json
import os
import pathlib
import statistics
import sys

from packages import need

need("torch")

import numpy  # noqa: E402
import torch  # noqa: E402
import torch.utils.data  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402
from rates import ours, rows_per_second  # noqa: E402

ROWS = 60_000
ROWS_SMOKE = 1_000
BATCH = 128
OURS = r"^(u8|f32), later epochs +loader .*wall +(\d+) rows/s"
BOUND = 3  # times DataLoader's rows/s


class Rows(torch.utils.data.Dataset):
    """A row, or the rows of a batch, as stored: the faster way for u8 is to widen whole batches."""

    def __init__(self, pixels, labels):
        self.pixels, self.labels = pixels, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.from_numpy(self.pixels[index]), self.labels[index]


def loaders(rows):
    common = {"shuffle": True, "batch_size": BATCH}
    sampler = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(rows), BATCH, False)
    return {
        "0 workers": torch.utils.data.DataLoader(rows, num_workers=0, **common),
        "2 workers": torch.utils.data.DataLoader(rows, num_workers=2, persistent_workers=True,
                                                 **common),
        "index batches": torch.utils.data.DataLoader(rows, sampler=sampler, batch_size=None),
    }


def widened_rows(batch):
    """How many; u8 is made floats, as training needs it."""
    pixels, labels = batch
    if pixels.dtype == torch.uint8:
        pixels.float().div_(256)
    return len(labels)


def measure(options, data):
    """{type: {contender: [rows/s]}}"""
    measured = {kind: {"ballast": []} for kind in data}
    contenders = {kind: loaders(rows) for kind, rows in data.items()}
    for _ in range(options.rounds):
        for kind, speed in ours(options.bin_dir / "loader_bench", options.smoke, OURS).items():
            measured[kind]["ballast"].append(speed)
        for kind, each in contenders.items():
            for name, loader in each.items():
                speed = rows_per_second(loader, len(data[kind]), widened_rows)
                measured[kind].setdefault(name, []).append(speed)
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bin-dir", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.rounds = 1
    torch.set_num_threads(1)
    random = numpy.random.default_rng(1)
    rows = ROWS_SMOKE if options.smoke else ROWS
    pixels = random.integers(0, 256, (rows, 784), dtype=numpy.uint8)
    labels = random.integers(0, 10, rows)
    data = {"u8": Rows(pixels, labels), "f32": Rows(pixels.astype(numpy.float32), labels)}
    results = {}
    for kind, runs in measure(options, data).items():
        medians = {name: round(statistics.median(values)) for name, values in runs.items()}
        peer = max(medians["0 workers"], medians["2 workers"])
        results[kind] = {"rows_per_second": medians,
                         "of_dataloader": round(medians["ballast"] / peer, 3)}
    print(json.dumps({"bench": "loader beside PyTorch's DataLoader", "n": options.rounds,
                      "load_average": os.getloadavg()[0], "results": results}, indent=2))
    bounds = Bounds(options.smoke)
    for kind, result in results.items():
        bounds.at_least(f"{kind}, rows/s of DataLoader", result["of_dataloader"], BOUND)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
