"""Writes Ballast data sets from Python: tasks write chunks in parallel, the driver commits one
manifest. numpy, flatbuffers and xxhash are all it needs (codecs: lz4, zstandard); it runs without
the C++ programs.

    writer = ChunkWriter(folder, {"x": ("f32", (13,)), "label": "i32"}, "label", partition=3)
    writer.write({"x": x, "label": label})
    receipt = writer.close()                 # in each task
    commit(folder, receipts)                 # in the driver

Read in this order: columns and list_rows (what a row is), writer (the story of a partition),
receipt (what is handed over), commit; blocks, codecs and container have the bytes, files the
writing. arrow, parquet and conversion are `ballast data convert --format parquet`.
"""

from .columns import Column, lists
from .commit import Committed, clean, commit
from .errors import DataError, DiskError
from .receipt import BlockReceipt, ChunkReceipt, PartitionReceipt
from .writer import ChunkWriter

__all__ = ["BlockReceipt", "ChunkReceipt", "ChunkWriter", "Column", "Committed", "DataError",
           "DiskError", "PartitionReceipt", "clean", "commit", "lists"]
