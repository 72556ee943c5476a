"""PyTorch's forward and backward of the networks of device_bench: eager and as a CUDA graph.

    torch_mlp.py [--device cpu|cuda] [--smoke]

Prints lines as device_bench does. Inputs and labels lie on the device, gradients stay there: what
`gradients stay` of device_bench does but for the upload of its batch, which is ours to hide.
"""

import argparse
import statistics
import time

import torch
from networks import LARGE, SMALL, TINY


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def rate(name, amount, unit, work, device, seconds=0.3, rounds=5):
    """The median of `rounds`, each of as many repetitions as take about `seconds`."""
    work()
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    times = max(1, int(seconds / max(1e-7, time.perf_counter() - start)))
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            work()
        synchronize(device)
        found.append((time.perf_counter() - start) / times)
    print(f"{name:<52} {amount / statistics.median(found):>14.3f} {unit}", flush=True)


def network(widths, device):
    layers = []
    for width_in, width_out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(width_in, width_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).to(device)


def step_of(widths, batch, device, precision):
    """Forward, loss and backward; returns the loss, so that nobody leaves a part out."""
    model = network(widths, device)
    x = torch.rand(batch, widths[0], device=device)
    labels = torch.randint(widths[-1], (batch,), device=device)
    loss_of = torch.nn.CrossEntropyLoss(reduction="sum")

    def step():
        for parameter in model.parameters():
            parameter.grad = None
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(model(x), labels)
        loss.backward()
        return loss
    return step


def graph_of(step):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def product(size, device, precision):
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.rand(size, size, device=device).to(kind)
    b = torch.rand(size, size, device=device).to(kind)
    c = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=c)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = options.device
    size = 64 if options.smoke else 8192
    networks = (("small", TINY),) if options.smoke else (("large", LARGE), ("small", SMALL))
    for precision in ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32",):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        rate(f"{precision}: torch, product", 2 * size ** 3 * 1e-12, "TFLOP/s",
             product(size, device, precision), device)
        for name, (widths, batch) in networks:
            step = step_of(widths, batch, device, precision)
            rate(f"{precision}: torch, {name} MLP", batch, "samples/s", step, device)
            if device == "cuda":
                rate(f"{precision}: torch graph, {name} MLP", batch, "samples/s", graph_of(step),
                     device)


if __name__ == "__main__":
    main()
