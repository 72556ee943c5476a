"""The codecs of column buffers: none, lz4 (one block) and zstd (one frame). Their Python modules
are asked for only where somebody wants them. Pure."""

import importlib

from .errors import DataError

NUMBERS = {"none": 0, "lz4": 1, "zstd": 2}  # as in schemas/chunk.fbs
ZSTD_LEVEL = 3
LZ4_BYTES_MAX = 0x7E000000  # LZ4_MAX_INPUT_SIZE


def codecs_of(given, columns):
    """"zstd" for all columns, or {"pixels": "lz4"} -> the name of a codec for each column"""
    named = dict.fromkeys([column.name for column in columns], "none")
    chosen = dict.fromkeys(named, given) if isinstance(given, str) else dict(given or {})
    for name, codec in chosen.items():
        if name not in named:
            raise DataError(f'a codec for column "{name}", which is none of: {", ".join(named)}')
        if codec not in NUMBERS:
            raise DataError(f'column "{name}": codec {codec!r} is none of {", ".join(NUMBERS)}')
    return [(named | chosen)[column.name] for column in columns]


def encoder(codec):
    """-> encode(bytes): the stored bytes, or None where they would not be fewer"""
    if codec == "none":
        return lambda raw: None
    compress = _lz4() if codec == "lz4" else _zstd()

    def encode(raw):
        stored = compress(raw) if len(raw) else raw
        return stored if stored is not None and len(stored) < len(raw) else None

    return encode


def _lz4():
    block = _module("lz4.block", "lz4")
    return lambda raw: (block.compress(raw, store_size=False)
                        if len(raw) <= LZ4_BYTES_MAX else None)


def _zstd():
    return _module("zstandard", "zstd").ZstdCompressor(level=ZSTD_LEVEL).compress


def _module(name, codec):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package = name.partition(".")[0]
        raise DataError(f"codec {codec} needs the Python module {package}: pip install {package}, "
                        f"or apt-get install python3-{package}") from None
