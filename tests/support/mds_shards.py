"""Writes a small MDS data set of every encoding that `data convert` reads, with MosaicML Streaming:
`mds_shards.py FOLDER [ROWS [COMPRESSION]]`. tests/data/convert/mds_kinds is what
`mds_shards.py mds_kinds 5 zstd` wrote."""

import sys

import numpy
from streaming import MDSWriter

COLUMNS = {"blob": "bytes", "flag": "uint8", "label": "int", "pixels": "ndarray:uint8:2,2",
           "score": "float64", "small": "int16", "text": "str", "tokens": "ndarray:int32",
           "typed": "str_int", "weights": "ndarray:float16", "written": "str_float"}


def sample(row):
    return {"blob": bytes(range(row % 4)), "flag": row % 2, "label": row % 3,
            "pixels": numpy.arange(4, dtype="u1").reshape(2, 2) + row % 250, "score": row / 4,
            "small": -row, "text": "é" * (row % 3) + str(row),
            "tokens": numpy.arange(1 + row % 5, dtype="i4") * 1000 + row,
            "typed": 10 ** (row % 18), "weights": numpy.full(1 + row % 2, row / 2, "f2"),
            "written": row / 8 - 1}


def main(folder, rows="5", compression=None):
    with MDSWriter(out=folder, columns=COLUMNS, compression=compression,
                   hashes=["sha1", "xxh3_64"] if int(rows) >= 100 else None,
                   size_limit=800 if int(rows) < 100 else 1 << 20) as writer:
        for row in range(int(rows)):
            writer.write(sample(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
