"""Parquet files as partitions of a data set. A partition is one row group, or several small ones in
a row; it is read a batch of rows at a time, whatever the size of the row groups."""

import contextlib
import dataclasses
import hashlib
import json
import os

import pyarrow
from pyarrow import parquet

from .arrow import column_of_field, values_of
from .codecs import codecs_of, encoder
from .errors import DataError
from .files import told

BATCH_BYTES = 4 << 20
BATCH_ROWS_MAX = 1 << 16
READ_AHEAD_BYTES = 256 << 10  # of each column


@dataclasses.dataclass(frozen=True)
class Settings:
    label: str = ""
    keep: tuple = ()    # columns; none: all
    skip: tuple = ()
    shapes: dict = dataclasses.field(default_factory=dict)  # of columns of lists of one length
    null: str = None    # what stands for a missing value
    block_bytes: int = 2 << 20
    chunk_bytes: int = 32 << 20
    allow_nonfinite: bool = False
    codecs: tuple = ()  # (column or "" for all, codec); the last that names a column counts


@dataclasses.dataclass(frozen=True)
class RowGroup:
    path: str
    number: int
    first_row: int  # in the file
    rows: int
    bytes: int      # of its values, not compressed


@dataclasses.dataclass(frozen=True)
class Plan:
    out: str
    columns: tuple
    settings: Settings
    partitions: tuple  # of tuples of RowGroup
    identity: str      # differs if sources or settings do
    codecs: dict = dataclasses.field(default_factory=dict)  # of all columns

    @property
    def rows(self):
        return sum(group.rows for groups in self.partitions for group in groups)

    def row_name(self, number, row):
        """"rows.parquet, row group 2, row 17": both numbers from 0, the row's in its file."""
        for group in self.partitions[number]:
            if row < group.rows:
                return f"{group.path}, row group {group.number}, row {group.first_row + row}"
            row -= group.rows
        raise IndexError(row)

    def batches(self, number):
        """The rows of a partition as {column: array}, a few MiB at a time."""
        done = 0
        for group in self.partitions[number]:
            row_bytes = _stored_bytes(self.columns, group) // max(group.rows, 1)
            batch_rows = min(max(BATCH_BYTES // max(row_bytes, 1), 1), BATCH_ROWS_MAX)
            for batch in _batches(group, self.columns, batch_rows):
                yield {column.name: values_of(batch.column(column.name), column, self.settings.null,
                                              lambda row: self.row_name(number, done + row))
                       for column in self.columns}
                done += len(batch)


def make_plan(sources, out, settings):
    """Reads the files' footers only. DataError: a column that cannot be one, files that differ."""
    columns, groups, files = None, [], []
    for source in map(str, sources):
        with _opened(source) as file:
            found = _columns(file.schema_arrow, settings, source)
            if columns not in (None, found):
                raise DataError(f"{source}: other columns than in {sources[0]}: {_text(columns)} "
                                f"expected, {_text(found)} found")
            columns = found
            groups += _row_groups(source, file.metadata)
        about = os.stat(source)
        files.append([os.path.abspath(source), about.st_size, about.st_mtime_ns])
    if not any(group.rows for group in groups):
        raise DataError(f"{', '.join(map(str, sources))}: no rows")
    described = json.dumps([files, [dataclasses.astuple(column) for column in columns],
                            dataclasses.asdict(settings)], sort_keys=True)
    return Plan(str(out), columns, settings, _partitions(columns, groups, settings.chunk_bytes),
                hashlib.sha256(described.encode()).hexdigest(), _codecs(columns, settings))


def _codecs(columns, settings):
    """{column: codec}; what a codec needs is asked for here, before anything is read"""
    chosen = {}
    for name, codec in settings.codecs:
        chosen.update({name: codec} if name else {column.name: codec for column in columns})
    names = codecs_of(chosen, columns)
    for codec in set(names):
        encoder(codec)
    return {column.name: codec for column, codec in zip(columns, names)}


@contextlib.contextmanager
def _opened(path):
    with told(f"read {path}"), open(path, "rb"):
        pass  # a better message than Arrow's
    try:
        with parquet.ParquetFile(path, buffer_size=READ_AHEAD_BYTES, pre_buffer=False) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from error


def _columns(schema, settings, source):
    names = schema.names
    for name in (*settings.keep, *settings.skip, *settings.shapes,
                 *([settings.label] if settings.label else [])):
        if name not in names:
            raise DataError(f'{source}: no column "{name}"; it has: {", ".join(names)}')
    kept = [name for name in settings.keep or names if name not in settings.skip]
    if not kept:
        raise DataError(f"{source}: no column is left")
    return tuple(column_of_field(schema.field(name), settings.shapes.get(name), source)
                 for name in kept)


def _row_groups(path, metadata):
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        yield RowGroup(path, number, first, group.num_rows, group.total_byte_size)
        first += group.num_rows


def _stored_bytes(columns, group):
    """About what its rows take in a data set; how long lists are, Parquet says in bytes only."""
    fixed = group.rows * sum(column.row_bytes for column in columns)
    return max(fixed, group.bytes) if any(column.variable for column in columns) else fixed


def _partitions(columns, groups, chunk_bytes):
    """Row groups in a row until they would fill a chunk."""
    partitions, open_bytes = [], chunk_bytes
    for group in groups:
        group_bytes = _stored_bytes(columns, group)
        if open_bytes + group_bytes > chunk_bytes:
            partitions.append([])
            open_bytes = 0
        partitions[-1].append(group)
        open_bytes += group_bytes
    return tuple(map(tuple, partitions))


def _text(columns):
    return ", ".join(f"{column.name} {column.type} {list(column.shape)}"
                     f'{", lists" if column.variable else ""}' for column in columns)


def _batches(group, columns, batch_rows):
    with _opened(group.path) as file:
        yield from file.iter_batches(batch_rows, row_groups=[group.number],
                                     columns=[column.name for column in columns],
                                     use_threads=False)
