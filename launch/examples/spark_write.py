#!/usr/bin/env python3
"""A Spark DataFrame as a data set: each partition by one task, the manifest by the driver.

    PYTHONPATH=launch launch/examples/spark_write.py OUT [ROWS]     needs pyspark, pandas, pyarrow

Spark may run a task again, or twice at once: chunks are named by their content, and commit() takes
one receipt of each partition."""

import sys

import pandas
from pyspark import TaskContext
from pyspark.sql import SparkSession, functions

from ballast_data import ChunkWriter, commit

COLUMNS = {"id": "i64", "x": ("f32", (3,)), "label": "i32"}


def partition_writer(folder):
    def write_partition(batches):
        partition = TaskContext.get().partitionId()
        with ChunkWriter(folder, COLUMNS, "label", partition) as writer:
            for batch in batches:
                writer.write({"id": batch["id"].to_numpy("int64"),
                              "x": batch[["x0", "x1", "x2"]].to_numpy("float32"),
                              "label": batch["label"].to_numpy("int32")})
        yield pandas.DataFrame({"receipt": [writer.close().to_json()]})

    return write_partition


def write(frame, folder):
    done = frame.mapInPandas(partition_writer(folder), "receipt string")
    return commit(folder, [row.receipt for row in done.collect()],
                  partitions=frame.rdd.getNumPartitions())


def rows(spark, count, partitions=4):
    """Made up here; yours come from spark.read."""
    frame = spark.range(0, count, 1, partitions)
    return frame.select("id", *[(frame.id % modulus).alias(f"x{k}")
                                for k, modulus in enumerate((7, 5, 3))],
                        functions.pmod("id", functions.lit(4)).alias("label"))


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with SparkSession.builder.master("local[2]").appName("ballast").getOrCreate() as spark:
        print(write(rows(spark, count), sys.argv[1]))


if __name__ == "__main__":
    main()
