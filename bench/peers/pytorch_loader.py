#!/usr/bin/python3
"""How fast does PyTorch's DataLoader hand out the rows of bench/micro/loader_bench?

60,000 rows of 784 values in memory, u8 scaled to float and f32, full shuffle, batch 128, on CPU.
Two ways of use: `samples` is the documented one (Dataset of samples, default collate), `batches` lets a
BatchSampler index the tensors with a whole batch at once. Each with 0, 1 and 2 worker processes; the best
counts. Reading and verifying files is not in its time. With --loader-bench the product is measured in the
same run and the ratios are printed (bar: 3x the documented use).

Needs torch (Debian: python3-torch), which the product does not.
"""

import argparse
import re
import statistics
import subprocess
import time

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

WIDTH, BATCH, FACTOR, BAR = 784, 128, 1 / 256, 3.0


def loader_of(dataset, use, workers):
    if use == "samples":
        return DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers,
                          persistent_workers=workers > 0)
    sampler = BatchSampler(RandomSampler(dataset), BATCH, drop_last=False)
    return DataLoader(dataset, sampler=sampler, batch_size=None, num_workers=workers,
                      persistent_workers=workers > 0)


def epoch_seconds(loader):
    start = time.perf_counter()
    rows = 0
    for pixels, _ in loader:
        if pixels.dtype == torch.uint8:
            pixels = pixels.float() * FACTOR
        rows += len(pixels)
    return time.perf_counter() - start, rows


def measure(dataset, rounds):
    """{(use, workers): median rows/s}."""
    speeds = {}
    for use in ("samples", "batches"):
        for workers in (0, 1, 2):
            loader = loader_of(dataset, use, workers)
            epoch_seconds(loader)
            speeds[use, workers] = statistics.median(
                rows / seconds for seconds, rows in (epoch_seconds(loader) for _ in range(rounds)))
    return speeds


def ours(program):
    """{type: wall rows/s of the loader's later epochs}."""
    text = subprocess.run([program], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^(\w+), later epochs\s+loader .*? wall\s+(\d+) rows/s", text, re.M)
    return {kind: float(speed) for kind, speed in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loader-bench", help="path of loader_bench, to compare with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    product = ours(options.loader_bench) if options.loader_bench else {}
    print(f"torch {torch.__version__}, {options.rows} rows of {WIDTH}, batch {BATCH}, "
          f"median of {options.rounds}")
    labels = torch.arange(options.rows) % 10
    met = True
    for kind, dtype in (("u8", torch.uint8), ("f32", torch.float32)):
        pixels = torch.randint(0, 256, (options.rows, WIDTH), dtype=torch.uint8).to(dtype)
        speeds = measure(TensorDataset(pixels, labels), options.rounds)
        for (use, workers), speed in speeds.items():
            print(f"{kind:<4} {use:<8} {workers} workers {speed:>10.0f} rows/s")
        for use in ("samples", "batches"):
            best = max(speed for (way, _), speed in speeds.items() if way == use)
            if kind in product:
                print(f"{kind:<4} loader {product[kind]:.0f} rows/s / {use} {best:.0f} = "
                      f"{product[kind] / best:.1f}")
                met = met and (use != "samples" or product[kind] / best >= BAR)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
