"""`data convert`: rows written in each format, plain and gzipped, come back value by value."""

import gzip
import struct

import numpy

from data_case import DataTest

ROWS = 800


def text(values):
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


class RoundTrip(DataTest):
    def setUp(self):
        super().setUp()
        self.random = numpy.random.default_rng(23)

    def floats(self, *shape):
        """Of few digits, so that text and float32 hold them alike."""
        return self.random.integers(-4000, 4000, shape) / 8

    def ints(self, low, high, *shape):
        return self.random.integers(low, high, shape)

    def write(self, name, content):
        """-> the file, and the same in gzip"""
        content = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(content)
        with gzip.open(self.folder / f"{name}.gz", "wb", 1) as file:
            file.write(content)
        return name, f"{name}.gz"

    def check(self, expected, *words):
        """`expected`: {column: the text of each row}, 64 values at most: `head` shows no more."""
        self.tool("convert", "--overwrite", "--out", "out", "--block-kib", 16, "--format", *words)
        rows = self.rows_of(self.folder / "out")
        self.assertEqual(len(rows), ROWS)
        for name, column in expected.items():
            self.assertEqual([row[name] for row in rows], column, name)

    def test_csv_and_tsv(self):
        values, labels = self.floats(ROWS, 40), self.ints(-5, 5, ROWS)
        expected = {"features": [text(row) for row in values.tolist()],
                    "label": [str(label) for label in labels]}
        for kind, separator in (("csv", ","), ("tsv", "\t")):
            lines = [separator.join(map(repr, [*row, int(label)]))
                     for row, label in zip(values.tolist(), labels)]
            for name in self.write(f"rows.{kind}", "\n".join(lines) + "\n"):
                self.check(expected, kind, name)

    def test_libsvm_dense_and_sparse(self):
        labels = self.ints(0, 2, ROWS)
        ids = [numpy.sort(self.random.choice(60, self.random.integers(0, 60), replace=False))
               for _ in labels]
        values = [self.floats(len(row)).tolist() for row in ids]
        lines = [f"{label} " + " ".join(f"{i + 1}:{v!r}" for i, v in zip(row, of_row))
                 for label, row, of_row in zip(labels, ids, values)]
        dense = numpy.zeros((ROWS, 60))
        for row, (places, of_row) in enumerate(zip(ids, values)):
            dense[row, places] = of_row
        written = [str(label) for label in labels]
        for name in self.write("rows.svm", "\n".join(lines)):
            self.check({"ids": [f"[{text(row)}]" for row in ids],
                        "values": [f"[{text(row)}]" for row in values], "label": written},
                       "libsvm", name, "--sparse")
            self.check({"features": [text(row) for row in dense.tolist()], "label": written},
                       "libsvm", name, "--width", 60)

    def test_libffm(self):
        labels = self.ints(0, 2, ROWS)
        rows = [[(int(f), int(i), float(v)) for f, i, v in
                 zip(self.ints(0, 30, n), self.ints(0, 1 << 31, n), self.floats(n))]
                for n in self.ints(0, 50, ROWS)]
        lines = [f"{label} " + " ".join(f"{f}:{i}:{v!r}" for f, i, v in row)
                 for label, row in zip(labels, rows)]
        for name in self.write("rows.ffm", "\n".join(lines)):
            self.check({"fields": [f"[{text(entry[0] for entry in row)}]" for row in rows],
                        "ids": [f"[{text(entry[1] for entry in row)}]" for row in rows],
                        "values": [f"[{text(entry[2] for entry in row)}]" for row in rows],
                        "label": [str(label) for label in labels]}, "libffm", name)

    def test_criteo_tsv_and_bin(self):
        labels, dense = self.ints(0, 2, ROWS), self.ints(-2, 1 << 20, ROWS, 13)
        categories = self.ints(0, 1 << 32, ROWS, 26)
        expected = {"dense": [text(map(int, row)) for row in dense],
                    "categories": [text(row) for row in categories],
                    "label": [str(label) for label in labels]}
        types = ("--features-type", "i32", "--categories-type", "i64")
        lines = ["\t".join([str(label), *map(str, numbers), *(f"{k:08x}" for k in keys)])
                 for label, numbers, keys in zip(labels, dense, categories)]
        for name in self.write("day_0", "\n".join(lines) + "\n"):
            self.check(expected, "criteo-tsv", name, *types)
        rows = numpy.concatenate([labels[:, None], dense, categories], 1).astype("<u4")
        self.write("day_0.bin", rows.tobytes())
        self.check(expected, "criteo-bin", "day_0.bin", *types)

    def test_idx(self):
        pixels, labels = self.ints(0, 256, ROWS, 8, 8), self.ints(0, 10, ROWS)
        images = self.write("images", struct.pack(">IIII", 0x803, ROWS, 8, 8) +
                            pixels.astype("u1").tobytes())
        classes = self.write("labels", struct.pack(">II", 0x801, ROWS) +
                             labels.astype("u1").tobytes())
        for pair in zip(images, classes):
            self.check({"pixels": [text(row) for row in pixels.reshape(ROWS, -1)],
                        "label": [str(label) for label in labels]}, "idx", *pair)

    def test_npy(self):
        arrays = {"x": self.floats(ROWS, 3, 5).astype("f4"), "d": self.floats(ROWS),
                  "h": self.floats(ROWS, 2).astype("f2"),
                  "big": self.ints(0, 99, ROWS).astype(">i4"),
                  "wide": self.ints(-2 ** 62, 2 ** 62, ROWS), "label": self.ints(0, 3, ROWS)}
        words = []
        for name, array in arrays.items():
            numpy.save(self.folder / f"{name}.npy", array)
            words += ["--column", f"{name}={name}.npy"]
        self.check({name: [text(row.reshape(-1).tolist()) for row in array]
                    for name, array in arrays.items()}, "npy", *words)
