"""Run by examples_test.py in a Python that has pyspark: the example as it is, with a task that
fails once after it has written, and with all tasks run twice at once. Prints what was committed."""

import concurrent.futures
import json
import sys

import spark_write
from pyspark import TaskContext
from pyspark.sql import SparkSession

from ballast_data import commit

ROWS = 4000


def failing_once(folder):
    write_partition = spark_write.partition_writer(folder)

    def task(batches):
        receipts = list(write_partition(batches))
        context = TaskContext.get()
        if context.partitionId() == 1 and context.attemptNumber() == 0:
            raise RuntimeError("lost after writing")
        yield from receipts

    return task


def collect(frame, task):
    return [row.receipt for row in frame.mapInPandas(task, "receipt string").collect()]


def main():
    folder = sys.argv[1]
    with SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false") \
            .getOrCreate() as spark:
        spark.sparkContext.setLogLevel("OFF")
        frame = spark_write.rows(spark, ROWS)
        committed = [spark_write.write(frame, f"{folder}/plain")]
        retried = collect(frame, failing_once(f"{folder}/retried"))
        committed.append(commit(f"{folder}/retried", retried, partitions=4))
        twice = spark_write.partition_writer(f"{folder}/twice")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: collect(frame, twice), range(2)))
        committed.append(commit(f"{folder}/twice", both[0] + both[1], partitions=4))
    print(json.dumps([vars(each) for each in committed]))


main()
