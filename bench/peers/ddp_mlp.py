"""The peer: PyTorch DistributedDataParallel on the MLP of mlp.toml, as its tutorial writes it.

Two processes over gloo, one thread each, fp32, plain SGD, the data set in memory as floats. Each
epoch is a new permutation, dealt to the ranks in turn as DistributedSampler does; batches are taken
by index in one call, which is faster than DataLoader (dataloader.py). Rank 0 prints a line of JSON:
{"epochs": [{"time": seconds since the first step, "train_loss": mean of the epoch}, ...]}

    ddp_mlp.py PREFIX --epochs N     reads PREFIX-images and PREFIX-labels (IDX)
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

import numpy
import torch
import torch.distributed

WORLD = 2
BATCH = 256  # of one process
LEARNING_RATE = 0.05
WIDTHS = (784, 512, 256, 10)


def read_idx(prefix):
    pixels = numpy.fromfile(prefix + "-images", dtype=numpy.uint8, offset=16)
    labels = numpy.fromfile(prefix + "-labels", dtype=numpy.uint8, offset=8)
    features = torch.from_numpy(pixels).view(len(labels), -1).float().div_(255)
    return features, torch.from_numpy(labels).long()


def make_model():
    torch.manual_seed(7)
    layers = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers[:-1]))


def train(rank, prefix, epochs):
    features, labels = read_idx(prefix)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    steps = len(labels) // (WORLD * BATCH)
    records = []
    torch.distributed.barrier()
    start = time.monotonic()
    for epoch in range(epochs):
        shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        order = shuffled[rank::WORLD]
        loss_sum = torch.zeros(())
        for step in range(steps):
            rows = order[step * BATCH:(step + 1) * BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(model(features[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach()
        torch.distributed.all_reduce(loss_sum)
        records.append({"time": time.monotonic() - start,
                        "train_loss": loss_sum.item() / (steps * WORLD)})
    if rank == 0:
        print(json.dumps({"epochs": records}), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(arguments):
    """One process a rank; one thread each, also in the BLAS, which takes its number from here."""
    environment = dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()),
                       WORLD_SIZE=str(WORLD), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    ranks = [subprocess.Popen([sys.executable, *arguments], env=dict(environment, RANK=str(rank)))
             for rank in range(WORLD)]
    return max(abs(process.wait()) for process in ranks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    if "RANK" not in os.environ:
        return launch(sys.argv)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    train(int(os.environ["RANK"]), options.prefix, options.epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
