"""commit: receipts of all partitions -> one manifest, at once. clean: remove chunks nobody names.

The driver's half. A reader sees the data set as it was, or with all of the rows."""

import contextlib
import dataclasses
import os
import re

import numpy

from . import container
from .errors import DataError
from .files import TEMPORARY, replace_file, told
from .receipt import PartitionReceipt

MANIFEST = "manifest"
CHUNK_NAME = re.compile(r"[0-9a-f]{16}\.blc")


@dataclasses.dataclass(frozen=True)
class Committed:
    rows: int
    partitions: int
    chunks: int
    manifest_xxh3: str  # names the content of the whole data set; jobs record it


def commit(folder, receipts, *, partitions=None, overwrite=False):
    """Writes the manifest. `receipts`: PartitionReceipts or their JSON, in any order; rows stand in
    the order of the partitions' numbers. A partition that ran twice may be there twice with equal
    rows; with different ones it is refused. `partitions`: how many there must be, numbered from 0.
    Committing the same again changes nothing; another data set in the folder needs `overwrite`, and
    its chunks are removed when it is replaced."""
    folder = str(folder)
    chosen = _one_for_each_partition(receipts)
    if partitions is not None:
        _check_complete(chosen, partitions)
    _check_alike(chosen)
    chunks = [(receipt, chunk) for receipt in chosen for chunk in receipt.chunks]
    if not chunks:
        raise DataError(f"commit to {folder}: the receipts name no rows")
    for receipt, chunk in chunks:
        _check_chunk(folder, receipt, chunk)
    manifest = _manifest(chosen[0], chunks)
    replaced = _replace_manifest(folder, container.seal(manifest, 0, container.MANIFEST_MAGIC),
                                 overwrite)
    _remove(folder, replaced - {chunk.name for _, chunk in chunks})
    return Committed(sum(receipt.rows for receipt in chosen), len(chosen), len(chunks),
                     f"{container.xxh3(manifest):016x}")


def clean(folder):
    """Removes the chunks in `folder` that its manifest does not name, such as those of tasks that
    failed, and temporary files. -> their names. Only while nobody writes to the folder: a chunk
    that waits for its commit is not named either."""
    folder = str(folder)
    path = os.path.join(folder, MANIFEST)
    with told(f"read {path}; a committed data set expected"):
        with open(path, "rb") as file:
            named = _named(file.read(), path)
    with told(f"clean {folder}"):
        names = sorted(name for name in os.listdir(folder) if name not in named and
                       (CHUNK_NAME.fullmatch(name) or name.startswith(TEMPORARY)))
        for name in names:
            os.unlink(os.path.join(folder, name))
    return names


def remove_chunks(folder, names):
    """Removes these chunks but for those that the manifest in the folder names. One that cannot be
    removed costs space, nothing else."""
    path = os.path.join(folder, MANIFEST)
    kept = set()
    if os.path.exists(path):
        with told(f"read {path}"), open(path, "rb") as file:
            kept = _named(file.read(), path)
    _remove(folder, {name for name in names if CHUNK_NAME.fullmatch(name)} - kept)


def is_there(folder, chunk):
    """Whether a chunk of a receipt is in the folder and as long as it should be."""
    try:
        return os.stat(os.path.join(folder, chunk.name)).st_size == chunk.bytes
    except FileNotFoundError:
        return False


def _one_for_each_partition(receipts):
    """Sorted by partition, each once."""
    chosen = {}
    for given in receipts:
        is_receipt = isinstance(given, PartitionReceipt)
        receipt = given if is_receipt else PartitionReceipt.from_json(given)
        first = chosen.setdefault(receipt.partition, receipt)
        if first != receipt:
            raise DataError(
                f"partition {receipt.partition}: two different receipts, of {first.rows} rows in "
                f"{_names(first)} and of {receipt.rows} rows in {_names(receipt)}; the task does "
                "not give the same rows each time it runs: hand over one of them")
    if not chosen:
        raise DataError("commit: no receipts")
    return [chosen[partition] for partition in sorted(chosen)]


def _names(receipt):
    return ", ".join(chunk.name for chunk in receipt.chunks) or "no chunk"


def _check_complete(chosen, partitions):
    found = {receipt.partition for receipt in chosen}
    for partition in range(partitions):
        if partition not in found:
            raise DataError(f"partition {partition}: no receipt; {partitions} partitions expected, "
                            f"{len(found)} found")
    if len(found) > partitions:
        raise DataError(f"partition {max(found)}: 0 to {partitions - 1} expected")


def _check_alike(chosen):
    for receipt in chosen:
        for what in ("columns", "label"):
            expected, found = getattr(chosen[0], what), getattr(receipt, what)
            if expected != found:
                raise DataError(f"partition {receipt.partition}: {what} {_text(found)} found, "
                                f"{_text(expected)} expected as in partition "
                                f"{chosen[0].partition}")


def _text(value):
    if isinstance(value, str):
        return repr(value)
    return ", ".join(f"{column.name} {column.type} {list(column.shape)}"
                     f'{", lists" if column.variable else ""}' for column in value)


def _check_chunk(folder, receipt, chunk):
    """The chunk is there, as long as it should be, and ends with its own name."""
    path = os.path.join(folder, chunk.name)
    which = f"partition {receipt.partition}: chunk {path}"
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == chunk.bytes:
                file.seek(-container.TRAILER.size, os.SEEK_END)
                _, _, footer_xxh3, magic = container.TRAILER.unpack(file.read())
    except FileNotFoundError:
        raise DataError(f"{which} is missing; was it written to another folder, or one that only "
                        "the machine of the task sees?") from None
    if size != chunk.bytes:
        raise DataError(f"{which}: {chunk.bytes} bytes expected, {size} found")
    if (footer_xxh3, magic) != (chunk.footer_xxh3, container.CHUNK_MAGIC):
        raise DataError(f"{which} is damaged: it does not end with the hash it is named by")


def _manifest(first, chunks):
    """`chunks`: (receipt, chunk) of all, in row order."""
    stored = numpy.array([(chunk.footer_xxh3, chunk.bytes, chunk.rows) for _, chunk in chunks],
                         container.MANIFEST_CHUNK)
    blocks = numpy.array([(block.offset, block.bytes, block.xxh3, number, block.rows)
                          for number, (_, chunk) in enumerate(chunks) for block in chunk.blocks],
                         container.MANIFEST_BLOCK)
    layouts, places = _layouts(first.columns, chunks)
    return container.encode_manifest(first.columns, first.label, stored, blocks, layouts, places)


def _layouts(columns, chunks):
    """-> (Layout of the chunks with tables and of those without, for each chunk which it has);
    nothing where none has tables"""
    if not any(receipt.tables for receipt, _ in chunks):
        return (), ()
    layouts, places = [], []
    for receipt, chunk in chunks:
        known = [layout.tables for layout in layouts]
        if receipt.tables not in known:
            known.append(receipt.tables)
            layouts.append(container.Layout(receipt.tables,
                                            numpy.zeros(len(columns), container.LIST_BYTES)))
        places.append(known.index(receipt.tables))
        for sizes, (largest, total) in zip(layouts[places[-1]].lists, chunk.lists):
            sizes["largest"] = max(sizes["largest"], largest)
            sizes["total"] += total
    return layouts, places


def _replace_manifest(folder, sealed, overwrite):
    """-> the names of the chunks that the manifest before named"""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, "rb") as file:
            found = file.read()
    except FileNotFoundError:
        found = None
    if found == sealed:
        return set()
    replaced = set()
    if found is not None and not overwrite:
        raise DataError(f"{folder} already holds another data set: choose another folder, or "
                        "replace it with overwrite")
    if found is not None:
        with contextlib.suppress(DataError):  # a damaged one names nothing
            replaced = _named(found, path)
    replace_file(folder, MANIFEST, sealed)
    return replaced


def _named(manifest_file, path):
    stored = container.manifest_chunks(manifest_file, f"manifest {path}")
    return {container.chunk_name(int(chunk["footer_xxh3"])) for chunk in stored}


def _remove(folder, names):
    """A chunk that cannot be removed costs space, nothing else: nobody names it any more."""
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
