"""The bytes of chunks and manifests, as worker/data/README.md describes them and the C++ writer
writes them: the same rows and settings give the same bytes. The tables of schemas/chunk.fbs are
built by hand, field by field in the order of flatc's C++ code, which decides the bytes. Pure."""

import dataclasses
import struct

import flatbuffers
import flatbuffers.encode
import flatbuffers.number_types
import flatbuffers.table
import numpy
import xxhash

from .columns import TYPE_NUMBERS
from .errors import DataError

MAJOR = 1
PLAIN, TABLED = 0, 1  # minor versions: without and with codecs or lists
BLOCK_ALIGNMENT = 4096
COLUMN_ALIGNMENT = 64
BLOCK_ROWS_MAX = 1 << 30
LABELS_MAX = 1024  # more distinct values than that are not classes
CHUNK_MAGIC, MANIFEST_MAGIC = b"BLSTchnk", b"BLSTmani"
TRAILER = struct.Struct("<QQQ8s")  # offset, bytes, XXH3-64 of the part, magic

# The structs of schemas/chunk.fbs; all are aligned to 8.
STORED_BUFFER = numpy.dtype([("offset", "<u8"), ("stored_bytes", "<u8"), ("raw_bytes", "<u8"),
                             ("xxh3", "<u8"), ("codec", "u1"), ("padding", "V7")])
LABEL_COUNT = numpy.dtype([("label", "<i8"), ("count", "<u8")])
MANIFEST_CHUNK = numpy.dtype([("footer_xxh3", "<u8"), ("bytes", "<u8"), ("rows", "<u8")])
MANIFEST_BLOCK = numpy.dtype([("offset", "<u8"), ("bytes", "<u8"), ("xxh3", "<u8"),
                              ("chunk", "<u4"), ("rows", "<u4")])
LIST_BYTES = numpy.dtype([("largest", "<u8"), ("total", "<u8")])


@dataclasses.dataclass
class Block:
    """What a footer says of one block."""
    offset: int  # in the chunk
    bytes: int   # padding included
    rows: int
    buffers: numpy.ndarray  # STORED_BUFFER, one a column, two of lists
    labels: numpy.ndarray   # LABEL_COUNT, ascending


@dataclasses.dataclass
class Layout:
    """How the blocks of some chunks are laid out."""
    tables: bool
    lists: numpy.ndarray  # LIST_BYTES, one a column; zeros unless it is of lists


def round_up(value, multiple):
    return -(-value // multiple) * multiple


def xxh3(data):
    return xxhash.xxh3_64_intdigest(data)


def chunk_name(footer_xxh3):
    return f"{footer_xxh3:016x}.blc"


def chunk_head(minor):
    return struct.pack("<8sHHI", CHUNK_MAGIC, MAJOR, minor, 0).ljust(BLOCK_ALIGNMENT, b"\0")


def block_layout(columns, rows):
    """Of a plain block. -> (where each column's values start, bytes of the block)"""
    offsets, end = [], 0
    for column in columns:
        offsets.append(round_up(end, COLUMN_ALIGNMENT))
        end = offsets[-1] + rows * column.row_bytes
    return offsets, round_up(end, BLOCK_ALIGNMENT)


def count_labels(values):
    """LABEL_COUNT of an integer column, ascending; empty when there are too many of them."""
    values = values.reshape(-1)
    low, high = int(values.min()), int(values.max())
    if high - low < 1 << 16:
        counts = numpy.bincount(values.astype("i8") - low)
        found = numpy.flatnonzero(counts)
        labels, counts = found + low, counts[found]
    else:
        labels, counts = numpy.unique(values, return_counts=True)
    if len(labels) > LABELS_MAX:
        return numpy.zeros(0, LABEL_COUNT)
    counted = numpy.zeros(len(labels), LABEL_COUNT)
    counted["label"], counted["count"] = labels, counts
    return counted


def seal(part, offset, magic):
    """The part and the trailer behind it, to be written at `offset`."""
    return part + TRAILER.pack(offset, len(part), xxh3(part), magic)


def encode_footer(columns, blocks, minor):
    builder = flatbuffers.Builder(1 << 16)
    columns_at = _columns(builder, columns)
    blocks_at = _offsets(builder, [_block(builder, block) for block in blocks])
    return _finish(builder, minor, [(3, blocks_at), (2, columns_at)])


def encode_manifest(columns, label, chunks, blocks, layouts=(), chunk_layouts=()):
    """`chunks` MANIFEST_CHUNK, `blocks` MANIFEST_BLOCK in row order. Where a chunk has tables:
    `layouts`, and for each chunk the number of its own."""
    builder = flatbuffers.Builder(1 << 16)
    columns_at = _columns(builder, columns)
    label_at = builder.CreateString(label)
    chunks_at = _structs(builder, chunks)
    blocks_at = _structs(builder, blocks)
    fields = [(5, blocks_at), (4, chunks_at), (3, label_at), (2, columns_at)]
    if layouts:
        layouts_at = _offsets(builder, [_layout(builder, columns, layout) for layout in layouts])
        places_at = _structs(builder, numpy.array(chunk_layouts, "<u4"), alignment=4)
        fields = [(7, places_at), (6, layouts_at), *fields]
    return _finish(builder, TABLED if layouts else PLAIN, fields)


def manifest_chunks(file_bytes, where):
    """MANIFEST_CHUNK of a manifest's file."""
    unsealed = unseal(file_bytes, MANIFEST_MAGIC, where)
    root = flatbuffers.encode.Get(flatbuffers.packer.uoffset, unsealed, 0)
    table = flatbuffers.table.Table(unsealed, root)
    if _major(table) != MAJOR:
        raise DataError(f"{where}: format version {MAJOR} expected, {_major(table)} found")
    field = table.Offset(4 + 2 * 4)
    return numpy.frombuffer(unsealed, MANIFEST_CHUNK, table.VectorLen(field), table.Vector(field))


def unseal(file_bytes, magic, where):
    """The sealed part of a file of which nothing but the part and its trailer is given."""
    if len(file_bytes) >= TRAILER.size:
        part = file_bytes[:-TRAILER.size]
        _, size, stored, found = TRAILER.unpack(file_bytes[-TRAILER.size:])
        if found == magic and size == len(part) and stored == xxh3(part):
            return part
    raise DataError(f"{where} is damaged, cut short or of another kind")


def _major(table):
    field = table.Offset(4)
    return table.Get(flatbuffers.number_types.Uint16Flags, field + table.Pos) if field else 0


def _columns(builder, columns):
    return _offsets(builder, [_column(builder, column) for column in columns])


def _column(builder, column):
    name = builder.CreateString(column.name)
    shape = _structs(builder, numpy.array(column.shape, "<u4"), alignment=4)
    builder.StartObject(6)
    builder.PrependUOffsetTRelativeSlot(2, shape, 0)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependBoolSlot(3, column.variable, False)
    builder.PrependUint8Slot(1, TYPE_NUMBERS[column.type], 0)
    return builder.EndObject()


def _block(builder, block):
    buffers = _structs(builder, block.buffers)
    labels = _structs(builder, block.labels)
    builder.StartObject(5)
    builder.PrependUint64Slot(2, block.rows, 0)
    builder.PrependUint64Slot(1, block.bytes, 0)
    builder.PrependUint64Slot(0, block.offset, 0)
    builder.PrependUOffsetTRelativeSlot(4, labels, 0)
    builder.PrependUOffsetTRelativeSlot(3, buffers, 0)
    return builder.EndObject()


def _layout(builder, columns, layout):
    columns_at = _columns(builder, columns)
    view = _structs(builder, numpy.arange(len(columns), dtype="<u4"), alignment=4)
    lists = _structs(builder, layout.lists)
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(2, lists, 0)
    builder.PrependUOffsetTRelativeSlot(1, view, 0)
    builder.PrependUOffsetTRelativeSlot(0, columns_at, 0)
    builder.PrependBoolSlot(3, layout.tables, False)
    return builder.EndObject()


def _offsets(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _structs(builder, array, alignment=8):
    """A vector of structs or numbers, copied as one piece. C++ does not align an empty one."""
    data = array.tobytes()
    builder.StartVector(array.itemsize, len(array), alignment if data else 4)
    builder.head -= len(data)
    builder.Bytes[builder.head:builder.head + len(data)] = data
    return builder.EndVector()


def _finish(builder, minor, offsets):
    """The root: offsets in the order given, then minor and major."""
    builder.StartObject(8)
    for field, offset in offsets:
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    builder.PrependUint16Slot(1, minor, 0)
    builder.PrependUint16Slot(0, MAJOR, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
