"""What a task hands to the driver: everything the manifest needs of its chunks. Picklable, and JSON
(`to_json`, `from_json`) where only text gets through. Equal receipts are equal rows."""

import dataclasses
import json

from .columns import Column, columns_of
from .errors import DataError


@dataclasses.dataclass(frozen=True)
class BlockReceipt:
    offset: int  # in the chunk
    bytes: int   # padding included
    xxh3: int    # of all of them
    rows: int


@dataclasses.dataclass(frozen=True)
class ChunkReceipt:
    footer_xxh3: int  # the file is <16 hex digits of this>.blc
    bytes: int
    blocks: tuple
    lists: tuple = ()  # where blocks have tables, for each column the bytes of its items, decoded:
                       # of the block that has most, and of all; fixed: (0, 0)

    @property
    def name(self):
        return f"{self.footer_xxh3:016x}.blc"

    @property
    def rows(self):
        return sum(block.rows for block in self.blocks)


@dataclasses.dataclass(frozen=True)
class PartitionReceipt:
    partition: int
    columns: tuple  # of Column
    label: str      # may be empty
    chunks: tuple   # of ChunkReceipt, in row order; none: the partition had no rows
    tables: bool = False  # blocks begin with the table of their buffers: there are codecs or lists

    @property
    def rows(self):
        return sum(chunk.rows for chunk in self.chunks)

    def to_json(self):
        return json.dumps({
            "partition": self.partition, "label": self.label, "tables": self.tables,
            "columns": [[column.name, column.type, list(column.shape), column.variable]
                        for column in self.columns],
            "chunks": [{"footer_xxh3": f"{chunk.footer_xxh3:016x}", "bytes": chunk.bytes,
                        "blocks": [[block.offset, block.bytes, f"{block.xxh3:016x}", block.rows]
                                   for block in chunk.blocks],
                        "lists": [list(sizes) for sizes in chunk.lists]}
                       for chunk in self.chunks]})

    @staticmethod
    def from_json(text):
        try:
            stored = json.loads(text)
            columns = columns_of([Column(*column) for column in stored["columns"]])
            chunks = tuple(_chunk(chunk) for chunk in stored["chunks"])
            return PartitionReceipt(int(stored["partition"]), columns, str(stored["label"]), chunks,
                                    bool(stored["tables"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"a receipt expected, {text[:60]!r} found: {error!r}") from error


def _chunk(stored):
    blocks = tuple(BlockReceipt(int(offset), int(size), int(xxh3, 16), int(rows))
                   for offset, size, xxh3, rows in stored["blocks"])
    lists = tuple((int(largest), int(total)) for largest, total in stored["lists"])
    return ChunkReceipt(int(stored["footer_xxh3"], 16), int(stored["bytes"]), blocks, lists)
