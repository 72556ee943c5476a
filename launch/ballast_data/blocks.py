"""Rows in, the bytes of one block after the other out. Two kinds: of a plain block each row goes
straight to its place; one with lists or codecs begins with the table of its buffers. Pure."""

import dataclasses

import numpy

from . import codecs, container
from .list_rows import ListRows, joined


@dataclasses.dataclass
class Built:
    """A block as it is stored."""
    bytes: numpy.ndarray
    rows: int
    buffers: numpy.ndarray  # STORED_BUFFER
    labels: numpy.ndarray   # LABEL_COUNT
    lists: tuple = ()       # the decoded bytes of the items of each column; fixed: 0


def blocks_of(columns, column_codecs, label, block_bytes):
    """-> what builds the blocks of a data set of these columns"""
    if any(column.variable for column in columns) or set(column_codecs) != {"none"}:
        return TabledBlocks(columns, column_codecs, label, block_bytes)
    return PlainBlocks(columns, label, block_bytes)


class PlainBlocks:
    tables = False

    def __init__(self, columns, label, block_bytes):
        self._columns, self._label = columns, label
        row_bytes = sum(column.row_bytes for column in columns)
        self._block_rows = min(max(block_bytes // row_bytes, 1), container.BLOCK_ROWS_MAX)
        self.rows = 0
        self._block, self._staged = self._new_block(self._block_rows)

    def measure(self, arrays):
        """What add() wants to know of all rows that are given at a time."""

    def add(self, arrays, begin, _measured):
        """Takes rows from `begin` on. -> (how many, whether the block is full)"""
        count = min(len(arrays[0]) - begin, self._block_rows - self.rows)
        for staged, array in zip(self._staged, arrays):
            staged[self.rows:self.rows + count] = array[begin:begin + count]
        self.rows += count
        return count, self.rows == self._block_rows

    def take(self):
        """The block of the rows since the last time."""
        block, views = self._block, self._staged
        if self.rows < self._block_rows:
            block, views = self._new_block(self.rows)
            for view, staged in zip(views, self._staged):
                view[...] = staged[:self.rows]
        built = Built(block, self.rows, self._buffers(block),
                      count_labels(self._columns, views, self._label))
        self.rows = 0
        return built

    def _new_block(self, rows):
        """-> (bytes of a block of zeros, one array [rows, *shape] a column inside them)"""
        offsets, size = container.block_layout(self._columns, rows)
        block = numpy.zeros(size, "u1")
        views = [block[offset:offset + rows * column.row_bytes].view(column.dtype)
                 .reshape(rows, *column.shape) for column, offset in zip(self._columns, offsets)]
        return block, views

    def _buffers(self, block):
        offsets, _ = container.block_layout(self._columns, self.rows)
        buffers = numpy.zeros(len(offsets), container.STORED_BUFFER)
        for buffer, column, offset in zip(buffers, self._columns, offsets):
            size = self.rows * column.row_bytes
            buffer["offset"], buffer["stored_bytes"], buffer["raw_bytes"] = offset, size, size
            buffer["xxh3"] = container.xxh3(block[offset:offset + size])
        return buffers


class TabledBlocks:
    tables = True

    def __init__(self, columns, column_codecs, label, block_bytes):
        self._columns, self._label, self._block_bytes = columns, label, block_bytes
        self._codecs = column_codecs
        self._encoders = [codecs.encoder(codec) for codec in column_codecs]
        self._least_row_bytes = sum(column.row_bytes for column in columns)
        self._start()

    def _start(self):
        self.rows, self._bytes = 0, 0
        self._parts = [[] for _ in self._columns]

    def measure(self, arrays):
        """-> the bytes of the rows up to each, the first of them 0"""
        sizes = numpy.full(len(arrays[0]), self._least_row_bytes, "i8")
        for column, array in zip(self._columns, arrays):
            if column.variable:
                sizes += array.counts * column.item_bytes
        return numpy.concatenate([numpy.zeros(1, "i8"), numpy.cumsum(sizes)])

    def add(self, arrays, begin, measured):
        room = self._block_bytes - self._bytes
        end = int(numpy.searchsorted(measured, measured[begin] + room, side="right")) - 1
        end = min(max(end, begin), begin + container.BLOCK_ROWS_MAX - self.rows)
        if end == begin and self.rows == 0:
            end = begin + 1  # a row that is larger than a block gets its own
        if end > begin:
            for parts, array in zip(self._parts, arrays):
                is_list = isinstance(array, ListRows)
                parts.append(array.copy(begin, end) if is_list else array[begin:end].copy())
        self.rows += end - begin
        self._bytes += int(measured[end] - measured[begin])
        is_full = (end < len(arrays[0]) or self.rows == container.BLOCK_ROWS_MAX or
                   self._bytes + self._least_row_bytes > self._block_bytes)
        return end - begin, is_full

    def take(self):
        count = sum(2 if column.variable else 1 for column in self._columns)
        buffers = numpy.zeros(count, container.STORED_BUFFER)
        pieces, end, place = [], buffers.nbytes, 0
        values = [joined(parts) if column.variable else numpy.concatenate(parts)
                  for column, parts in zip(self._columns, self._parts)]
        for column, codec, encode, rows in zip(self._columns, self._codecs, self._encoders, values):
            for raw in _raw_buffers(column, rows):
                start = container.round_up(end, container.COLUMN_ALIGNMENT)
                stored = encode(raw)
                number = codecs.NUMBERS[codec if stored is not None else "none"]
                stored = raw if stored is None else stored
                buffers[place] = (start, len(stored), len(raw), container.xxh3(stored), number, b"")
                pieces += [b"\0" * (start - end), stored]
                end, place = start + len(stored), place + 1
        padding = b"\0" * (container.round_up(end, container.BLOCK_ALIGNMENT) - end)
        block = numpy.frombuffer(b"".join([buffers.tobytes(), *pieces, padding]), "u1")
        lists = tuple(rows.items.nbytes if column.variable else 0
                      for column, rows in zip(self._columns, values))
        built = Built(block, self.rows, buffers,
                      count_labels(self._columns, values, self._label), lists)
        self._start()
        return built


def _raw_buffers(column, rows):
    """The buffers of a column in a block: its rows; of lists their offsets and their items."""
    if not column.variable:
        return [rows.tobytes()]
    wide = rows.offsets[-1] >= 1 << 32
    return [rows.offsets.astype("<u8" if wide else "<u4").tobytes(), rows.items.tobytes()]


def count_labels(columns, values, label):
    for column, rows in zip(columns, values):
        if column.name == label and column.is_integer and not column.variable:
            return container.count_labels(rows)
    return numpy.zeros(0, container.LABEL_COUNT)
