"""The networks that a GPU is measured with, as bench/micro/device_bench.cc has them: relu between the
layers, softmax cross-entropy at the end."""

# (widths, batch)
LARGE = ((4096, 8192, 8192, 8192, 1000), 4096)
SMALL = ((784, 512, 256, 10), 256)
TINY = ((20, 16, 8, 4), 16)


def weights_of(widths):
    """Without biases: what the products are made of."""
    return sum(width_in * width_out for width_in, width_out in zip(widths, widths[1:]))
