"""ChunkWriter: the rows of one partition in, chunk files and a receipt out.

Chunks are named by their content and appear whole, so a task may fail, be tried again or run twice
at once: equal rows give equal files, and what no manifest names is not part of any data set."""

from . import container
from .blocks import blocks_of
from .codecs import codecs_of
from .columns import checked_arrays, columns_of
from .errors import DataError
from .files import NewFile, make_folder
from .receipt import BlockReceipt, ChunkReceipt, PartitionReceipt


class ChunkWriter:
    """Owned by one task. `columns`: {"pixels": ("u8", (28, 28)), "words": lists("i32"), "label":
    "i32"}; `label`: the integer column whose values each block counts; `partition`: the place of
    these rows among those of the other tasks; `codecs`: "zstd", "lz4" or "none" for all columns, or
    {column: codec}; `block_bytes`, `chunk_bytes`: targets, a row that is larger gets its own;
    `row_name`(row): what messages call a row of this partition; `before_naming`(name): told of each
    chunk before it gets its name."""

    def __init__(self, folder, columns, label=None, partition=0, *, block_bytes=2 << 20,
                 chunk_bytes=32 << 20, codecs="none", allow_nonfinite=False, row_name=None,
                 before_naming=None):
        self._columns = columns_of(columns)
        self._label = label or ""
        if label and label not in [column.name for column in self._columns]:
            raise DataError(f'label "{label}" is none of the columns: '
                            f'{", ".join(column.name for column in self._columns)}')
        self._folder, self._partition = str(folder), int(partition)
        self._chunk_bytes, self._allow_nonfinite = chunk_bytes, allow_nonfinite
        self._row_name = row_name or (lambda row: f"row {row} of partition {self._partition}")
        self.rows = 0
        self._blocks = blocks_of(self._columns, codecs_of(codecs, self._columns), self._label,
                                 block_bytes)
        self._minor = container.TABLED if self._blocks.tables else container.PLAIN
        self._file = None
        self._footer = []   # Block of the chunk being written
        self._written = []  # BlockReceipt of the same
        self._lists = []    # of its blocks, the bytes of the items of each column
        self._chunks = []
        self._receipt = None
        self._failed = False
        self._before_naming = before_naming or (lambda name: None)
        make_folder(self._folder)

    def write(self, values):
        """{column: array [rows, *shape]}; all columns, equal rows, exactly the types declared.
        Of lists a sequence of arrays [items, *shape], or (items of all rows, how many each has)."""
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
                if self._blocks.rows:
                    self._close_block()
                self._close_chunk()
            except BaseException:
                self._fail()
                raise
            self._receipt = PartitionReceipt(self._partition, self._columns, self._label,
                                             tuple(self._chunks), self._blocks.tables)
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
        measured = self._blocks.measure(arrays)
        begin, end = 0, len(arrays[0])
        while begin < end:
            count, is_full = self._blocks.add(arrays, begin, measured)
            begin += count
            self.rows += count
            if is_full:
                self._close_block()

    def _close_block(self):
        if self._file is None:
            self._file = NewFile(self._folder)
            self._file.append(container.chunk_head(self._minor))
        built = self._blocks.take()
        offset, size = self._file.size, len(built.bytes)
        self._file.append(built.bytes)
        self._footer.append(container.Block(offset, size, built.rows, built.buffers, built.labels))
        self._written.append(BlockReceipt(offset, size, container.xxh3(built.bytes), built.rows))
        self._lists.append(built.lists)
        if self._file.size + size > self._chunk_bytes:
            self._close_chunk()

    def _close_chunk(self):
        if self._file is None:
            return
        footer = container.encode_footer(self._columns, self._footer, self._minor)
        self._file.append(container.seal(footer, self._file.size, container.CHUNK_MAGIC))
        lists = tuple((max(of_blocks), sum(of_blocks)) for of_blocks in zip(*self._lists))
        chunk = ChunkReceipt(container.xxh3(footer), self._file.size, tuple(self._written), lists)
        self._before_naming(chunk.name)
        self._file.publish(chunk.name)
        self._file.close()
        self._file, self._footer, self._written, self._lists = None, [], [], []
        self._chunks.append(chunk)
