#!/usr/bin/env python3
"""Rows that Ray tasks make or read, as a data set: each partition by one task, the manifest by the
driver.

    PYTHONPATH=launch launch/examples/ray_write.py OUT [ROWS]     needs ray

A task that fails is run again: chunks are named by their content, and commit() takes one receipt of
each partition."""

import sys

import numpy
import ray

from ballast_data import ChunkWriter, commit

COLUMNS = {"id": "i64", "x": ("f32", (3,)), "label": "i32"}
PARTITIONS = 4


def rows(first, end):
    """Made up here; yours come from files, or from the blocks of a ray.data.Dataset."""
    ids = numpy.arange(first, end)
    return {"id": ids, "x": numpy.stack([ids % 7, ids % 5, ids % 3], 1).astype("f4"),
            "label": (ids % 4).astype("i4")}


@ray.remote(max_retries=3, retry_exceptions=True)
def write_partition(folder, partition, first, end):
    with ChunkWriter(folder, COLUMNS, "label", partition) as writer:
        writer.write(rows(first, end))
    return writer.close()


def write(folder, count, task=write_partition):
    cuts = [count * partition // PARTITIONS for partition in range(PARTITIONS + 1)]
    receipts = ray.get([task.remote(folder, partition, cuts[partition], cuts[partition + 1])
                        for partition in range(PARTITIONS)])
    return commit(folder, receipts, partitions=PARTITIONS)


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    ray.init(num_cpus=2, include_dashboard=False)
    print(write(sys.argv[1], count))


if __name__ == "__main__":
    main()
