"""The networks that a GPU is measured with, as bench/micro/device_bench.cc has them: relu between the
layers, softmax cross-entropy at the end."""

# (widths, batch)
LARGE = ((4096, 8192, 8192, 8192, 1000), 4096)
SMALL = ((784, 512, 256, 10), 256)
TINY = ((20, 16, 8, 4), 16)


def operations_of(widths):
    """Of the products of a row, forward and backward: nobody needs the gradient of the rows themselves."""
    weights = sum(width_in * width_out for width_in, width_out in zip(widths, widths[1:]))
    return 6 * weights - 2 * widths[0] * widths[1]
