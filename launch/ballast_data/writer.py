"""ChunkWriter: the rows of one partition in, chunk files and a receipt out.

Chunks are named by their content and appear whole, so a task may fail, be tried again or run twice
at once: equal rows give equal files, and what no manifest names is not part of any data set."""

import numpy

from . import container
from .columns import checked_arrays, columns_of
from .errors import DataError
from .files import NewFile, make_folder
from .receipt import BlockReceipt, ChunkReceipt, PartitionReceipt


class ChunkWriter:
    """Owned by one task. `columns`: {"pixels": ("u8", (28, 28)), "label": "i32"}; `label`: the
    integer column whose values each block counts; `partition`: the place of these rows among those
    of the other tasks; `block_bytes`, `chunk_bytes`: targets, a row that is larger gets its own;
    `row_name`(row): what messages call a row of this partition; `before_naming`(name): told of each
    chunk before it gets its name."""

    def __init__(self, folder, columns, label=None, partition=0, *, block_bytes=2 << 20,
                 chunk_bytes=32 << 20, allow_nonfinite=False, row_name=None,
                 before_naming=None):
        self._columns = columns_of(columns)
        self._label = label or ""
        if label and label not in [column.name for column in self._columns]:
            raise DataError(f'label "{label}" is none of the columns: '
                            f'{", ".join(column.name for column in self._columns)}')
        self._folder, self._partition = str(folder), int(partition)
        self._chunk_bytes, self._allow_nonfinite = chunk_bytes, allow_nonfinite
        self._row_name = row_name or (lambda row: f"row {row} of partition {self._partition}")
        row_bytes = sum(column.row_bytes for column in self._columns)
        self._block_rows = min(max(block_bytes // row_bytes, 1), container.BLOCK_ROWS_MAX)
        self.rows = 0
        self._staged_rows = 0
        self._block, self._staged = self._new_block(self._block_rows)
        self._file = None
        self._footer = []   # Block of the chunk being written
        self._written = []  # BlockReceipt of the same
        self._chunks = []
        self._receipt = None
        self._failed = False
        self._before_naming = before_naming or (lambda name: None)
        make_folder(self._folder)

    def write(self, values):
        """{column: array [rows, *shape]}; all columns, equal rows, exactly the types declared."""
        if self._receipt:
            raise DataError("write() after close()")
        self._check_not_failed()
        arrays = checked_arrays(self._columns, values, self._allow_nonfinite,
                                lambda row: self._row_name(self.rows + row))
        try:
            self._stage(arrays)
        except BaseException:
            self._fail()
            raise

    def close(self):
        """Writes what is left. -> PartitionReceipt; calling again returns the same."""
        if self._receipt is None:
            self._check_not_failed()
            try:
                if self._staged_rows:
                    self._close_short_block()
                self._close_chunk()
            except BaseException:
                self._fail()
                raise
            self._receipt = PartitionReceipt(self._partition, self._columns, self._label,
                                             tuple(self._chunks))
        return self._receipt

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self._fail()

    def _check_not_failed(self):
        if self._failed:
            raise DataError(f"the writer of partition {self._partition} failed before; start the "
                            "partition again with a new one")

    def _fail(self):
        """There is no way on: rows may be missing in the chunk. It has no name and goes away."""
        self._failed = True
        if self._file:
            self._file.close()
            self._file = None

    def _stage(self, arrays):
        begin, end = 0, len(arrays[0])
        while begin < end:
            count = min(end - begin, self._block_rows - self._staged_rows)
            for staged, array in zip(self._staged, arrays):
                staged[self._staged_rows:self._staged_rows + count] = array[begin:begin + count]
            begin += count
            self._staged_rows += count
            self.rows += count
            if self._staged_rows == self._block_rows:
                self._close_block(self._block, self._staged)

    def _new_block(self, rows):
        """-> (bytes of a block of zeros, one array [rows, *shape] a column inside them)"""
        offsets, size = container.block_layout(self._columns, rows)
        block = numpy.zeros(size, "u1")
        views = [block[offset:offset + rows * column.row_bytes].view(column.dtype)
                 .reshape(rows, *column.shape) for column, offset in zip(self._columns, offsets)]
        return block, views

    def _close_short_block(self):
        block, views = self._new_block(self._staged_rows)
        for view, staged in zip(views, self._staged):
            view[...] = staged[:self._staged_rows]
        self._close_block(block, views)

    def _close_block(self, block, views):
        if self._file is None:
            self._file = NewFile(self._folder)
            self._file.append(container.CHUNK_HEAD)
        offset = self._file.size
        self._file.append(block)
        self._footer.append(container.Block(offset, len(block), self._staged_rows,
                                            self._buffers(block), self._labels(views)))
        self._written.append(BlockReceipt(offset, len(block), container.xxh3(block),
                                          self._staged_rows))
        self._staged_rows = 0
        if self._file.size + len(block) > self._chunk_bytes:
            self._close_chunk()

    def _buffers(self, block):
        offsets, _ = container.block_layout(self._columns, self._staged_rows)
        buffers = numpy.zeros(len(offsets), container.STORED_BUFFER)
        for buffer, column, offset in zip(buffers, self._columns, offsets):
            size = self._staged_rows * column.row_bytes
            buffer["offset"], buffer["stored_bytes"], buffer["raw_bytes"] = offset, size, size
            buffer["xxh3"] = container.xxh3(block[offset:offset + size])
        return buffers

    def _labels(self, views):
        for column, view in zip(self._columns, views):
            if column.name == self._label and column.is_integer:
                return container.count_labels(view)
        return numpy.zeros(0, container.LABEL_COUNT)

    def _close_chunk(self):
        if self._file is None:
            return
        footer = container.encode_footer(self._columns, self._footer)
        self._file.append(container.seal(footer, self._file.size, container.CHUNK_MAGIC))
        chunk = ChunkReceipt(container.xxh3(footer), self._file.size, tuple(self._written))
        self._before_naming(chunk.name)
        self._file.publish(chunk.name)
        self._file.close()
        self._file, self._footer, self._written = None, [], []
        self._chunks.append(chunk)
