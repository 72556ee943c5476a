"""Parquet files -> a data set: row groups are converted in processes, a batch of rows at a time.

A partition is one row group, or several small ones in a row. Its receipt is kept as JSON in
OUT/.receipts when its chunks are on disk, so a conversion that was stopped goes on from there; the
folder goes away with the commit. Memory: for each process a batch and a block, whatever the size
of the row groups."""

import concurrent.futures
import contextlib
import ctypes
import dataclasses
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import signal

import pyarrow
from pyarrow import parquet

from .arrow import column_of_field, values_of
from .commit import MANIFEST, commit, is_there
from .errors import DataError, DiskError
from .files import make_folder, replace_file, told
from .receipt import PartitionReceipt
from .writer import ChunkWriter

RECEIPTS = ".receipts"
PLAN = "plan.json"
BATCH_BYTES = 4 << 20
BATCH_ROWS_MAX = 1 << 16
READ_AHEAD_BYTES = 256 << 10  # of each column
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)  # loaded before any fork


@dataclasses.dataclass(frozen=True)
class Settings:
    label: str = ""
    keep: tuple = ()    # columns; none: all
    skip: tuple = ()
    shapes: dict = dataclasses.field(default_factory=dict)  # of columns of lists
    null: str = None    # what stands for a missing value
    block_bytes: int = 2 << 20
    chunk_bytes: int = 32 << 20
    allow_nonfinite: bool = False


@dataclasses.dataclass(frozen=True)
class RowGroup:
    path: str
    number: int
    first_row: int  # in the file
    rows: int


@dataclasses.dataclass(frozen=True)
class Plan:
    out: str
    columns: tuple
    settings: Settings
    partitions: tuple  # of tuples of RowGroup
    identity: str      # differs if sources or settings do

    @property
    def rows(self):
        return sum(group.rows for groups in self.partitions for group in groups)

    @property
    def receipts(self):
        return os.path.join(self.out, RECEIPTS)


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
    row_bytes = sum(column.row_bytes for column in columns)
    return Plan(str(out), columns, settings, _partitions(groups, row_bytes, settings.chunk_bytes),
                hashlib.sha256(described.encode()).hexdigest())


def convert(plan, processes, overwrite=False, progress=lambda done, rows: None):
    """-> Committed. progress(rows done, rows in all) is called as partitions are done."""
    if not overwrite and os.path.exists(os.path.join(plan.out, MANIFEST)):
        raise DataError(f"{plan.out} already holds a data set: choose another folder, or replace "
                        "it with --overwrite")
    receipts = _begin(plan)
    progress(sum(receipt.rows for receipt in receipts), plan.rows)
    done = {receipt.partition for receipt in receipts}
    waiting = [number for number in range(len(plan.partitions)) if number not in done]
    for receipt in _converted(plan, waiting, processes):
        receipts.append(receipt)
        progress(sum(receipt.rows for receipt in receipts), plan.rows)
    committed = commit(plan.out, receipts, partitions=len(plan.partitions), overwrite=overwrite)
    shutil.rmtree(plan.receipts, ignore_errors=True)
    return committed


def convert_partition(plan, number):
    """What a process does -> its receipt, also kept in the folder."""
    groups = plan.partitions[number]
    settings = plan.settings
    row_bytes = sum(column.row_bytes for column in plan.columns)
    batch_rows = min(max(BATCH_BYTES // row_bytes, 1), BATCH_ROWS_MAX)
    with ChunkWriter(plan.out, plan.columns, settings.label, number,
                     block_bytes=settings.block_bytes, chunk_bytes=settings.chunk_bytes,
                     allow_nonfinite=settings.allow_nonfinite,
                     row_name=lambda row: _row_name(groups, row)) as writer:
        for group in groups:
            for batch in _batches(group, plan.columns, batch_rows):
                writer.write({column.name: values_of(
                    batch.column(column.name), column, settings.null,
                    lambda row: _row_name(groups, writer.rows + row)) for column in plan.columns})
    receipt = writer.close()
    replace_file(plan.receipts, f"{number}.json", receipt.to_json().encode())
    return receipt


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
        rows = metadata.row_group(number).num_rows
        yield RowGroup(path, number, first, rows)
        first += rows


def _partitions(groups, row_bytes, chunk_bytes):
    """Row groups in a row until they would fill a chunk."""
    partitions, open_bytes = [], chunk_bytes
    for group in groups:
        if open_bytes + group.rows * row_bytes > chunk_bytes:
            partitions.append([])
            open_bytes = 0
        partitions[-1].append(group)
        open_bytes += group.rows * row_bytes
    return tuple(map(tuple, partitions))


def _text(columns):
    return ", ".join(f"{column.name} {column.type} {list(column.shape)}" for column in columns)


def _begin(plan):
    """The receipts of this very plan whose chunks are there; those of another one are dropped."""
    folder = pathlib.Path(plan.receipts)
    make_folder(plan.out)
    kept = folder / PLAN
    if not kept.exists() or kept.read_text(encoding="utf-8") != plan.identity:
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        replace_file(str(folder), PLAN, plan.identity.encode())
    receipts = []
    for number in range(len(plan.partitions)):
        with contextlib.suppress(FileNotFoundError, DataError):
            receipt = PartitionReceipt.from_json((folder / f"{number}.json").read_text("utf-8"))
            if all(is_there(plan.out, chunk) for chunk in receipt.chunks):
                receipts.append(receipt)
    return receipts


def _converted(plan, waiting, processes):
    """Receipts as they come. Processes and not threads: much of the work is Python's."""
    if not waiting:
        return
    context = multiprocessing.get_context("fork")
    pool = concurrent.futures.ProcessPoolExecutor(min(processes, len(waiting)), context,
                                                  _become_child, (os.getpid(),))
    try:
        for task in concurrent.futures.as_completed(
                [pool.submit(convert_partition, plan, number) for number in waiting]):
            yield task.result()
    except concurrent.futures.BrokenExecutor:
        raise DiskError("a process of the conversion was killed, for lack of memory maybe; the "
                        "same command goes on from there; fewer --processes take less") from None
    except BaseException:  # what is unfinished has no name yet, and goes with the process
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _become_child(parent):
    """Ends with the launcher, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _batches(group, columns, batch_rows):
    with _opened(group.path) as file:
        yield from file.iter_batches(batch_rows, row_groups=[group.number],
                                     columns=[column.name for column in columns],
                                     use_threads=False)


def _row_name(groups, row):
    """"data.parquet, row group 2, row 17": both numbers from 0, the row's in its file."""
    for group in groups:
        if row < group.rows:
            return f"{group.path}, row group {group.number}, row {group.first_row + row}"
        row -= group.rows
    raise IndexError(row)
