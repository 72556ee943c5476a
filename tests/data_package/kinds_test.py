"""ChunkWriter with columns of lists and with codecs: the files of the C++ writer, or its rows."""

import gzip
import importlib.util
import os
import subprocess
import sys
import unittest

import numpy

from ballast_data import ChunkWriter, DataError, PartitionReceipt, commit, lists
from data_case import ROOT, DataTest

COLUMNS = {"ids": lists("i32"), "values": lists("f32"), "label": "i32"}
CODECS = {"lz4": "lz4", "zstd": "zstandard"}


def need(codec):
    if importlib.util.find_spec(CODECS[codec]) is None:
        raise unittest.SkipTest(f"{codec}: Python's {CODECS[codec]} is not installed")


def sparse_rows(count, longest=40):
    """{column: rows}, the ids of a row rising."""
    random = numpy.random.default_rng(11)
    ids = [numpy.sort(random.choice(1 << 20, random.integers(0, longest), replace=False))
           .astype("i4") for _ in range(count)]
    return {"ids": ids, "values": [random.integers(0, 9, len(row)).astype("f4") for row in ids],
            "label": (numpy.arange(count) % 3).astype("i4")}


class SameAsConverter(DataTest):
    """`data convert --format libsvm --sparse` makes the same rows of text."""

    def convert(self, rows, codec):
        text = "".join(f"{label} {' '.join(f'{k}:{v:g}' for k, v in zip(ids, values))}\n"
                       for label, ids, values in zip(rows["label"], rows["ids"], rows["values"]))
        with gzip.open(self.folder / "rows.gz", "wt", 1) as file:  # one piece: one C++ writer
            file.write(text)
        self.tool("convert", "--format", "libsvm", "--sparse", "--zero-based", "rows.gz", "--out",
                  "cc", "--block-kib", 4, "--chunk-mib", 1, "--codec", codec)
        return self.folder / "cc"

    def write(self, rows, pieces, codec):
        writer = ChunkWriter(self.out, COLUMNS, "label", block_bytes=4 << 10,
                             chunk_bytes=1 << 20, codecs=codec)
        for begin in range(0, len(rows["label"]), pieces):
            writer.write({name: values[begin:begin + pieces] for name, values in rows.items()})
        commit(self.out, [PartitionReceipt.from_json(writer.close().to_json())])

    def test_lists_come_out_as_the_files_of_the_converter_whatever_the_pieces(self):
        rows = sparse_rows(9000)
        expected = self.files_of(self.convert(rows, "none"))
        self.assertGreater(len(expected), 2)
        for pieces in (1, 77, 9000):
            with self.subTest(pieces=pieces):
                self.out = self.folder / str(pieces)
                self.write(rows, pieces, "none")

                self.assertEqual(self.files_of(self.out), expected)

    def test_rows_larger_than_a_block_are_cut_as_the_converter_cuts_them(self):
        rows = sparse_rows(40, longest=3000)

        self.write(rows, 7, "none")

        self.assertEqual(self.files_of(self.out), self.files_of(self.convert(rows, "none")))

    def test_lz4_has_the_rows_of_the_converter_in_fewer_bytes(self):
        need("lz4")
        self.check_codec("lz4")

    def test_zstd_has_the_rows_of_the_converter_in_fewer_bytes(self):
        need("zstd")
        self.check_codec("zstd")

    def check_codec(self, codec):
        rows = sparse_rows(4000)
        plain = self.convert(rows, "none")
        self.write(rows, 1000, codec)

        self.assertEqual(self.rows_of(self.out), self.rows_of(plain))
        size = [sum(map(len, self.files_of(folder).values())) for folder in (self.out, plain)]
        self.assertLess(size[0], 0.8 * size[1])
        self.assertIn(codec, self.tool("inspect", self.out))


class RoundTrip(DataTest):
    def write(self, columns, rows, partition=0, **settings):
        with ChunkWriter(self.out, columns, partition=partition, **settings) as writer:
            writer.write(rows)
        return writer.close()

    def test_every_type_and_shape_of_list_is_read_back(self):
        for kind, dtype in (("u8", "u1"), ("i32", "i4"), ("i64", "i8"), ("f16", "f2"),
                            ("f32", "f4")):
            for shape in ((), (2,), (2, 3)):
                with self.subTest(kind=kind, shape=shape):
                    self.out = self.folder / f"{kind}{len(shape)}"
                    width = int(numpy.prod(shape))
                    rows = [numpy.arange(n * width).reshape(n, *shape).astype(dtype)
                            for n in (0, 3, 1, 0, 2)]
                    commit(self.out, [self.write({"x": lists(kind, shape)}, {"x": rows})])

                    found = [row["x"] for row in self.rows_of(self.out)]

                    self.assertEqual(found, [f"[{' '.join(map(str, range(row.size)))}]"
                                             for row in rows])

    def test_items_with_counts_are_the_same_lists(self):
        rows = sparse_rows(500)
        items = {name: (numpy.concatenate(rows[name]), [len(row) for row in rows[name]])
                 for name in ("ids", "values")}
        receipts = [self.write(COLUMNS, given) for given in
                    (rows, {**items, "label": rows["label"]})]

        self.assertEqual(*receipts)

    def test_partitions_of_different_codecs_are_one_data_set(self):
        need("lz4")
        columns = {"x": ("i64", (4,)), "label": "i32"}
        receipts = []
        for partition, codecs in enumerate(("none", "lz4", {"x": "lz4"}, "none")):
            ids = numpy.arange(100 * partition, 100 * partition + 100)
            receipts.append(self.write(columns, {"x": numpy.stack([ids] * 4, 1),
                                                 "label": ids.astype("i4")}, partition,
                                       codecs=codecs))
        commit(self.out, receipts, partitions=4)

        self.assertEqual(self.column(self.out, "label"), list(range(400)))
        self.assertEqual(self.rows_of(self.out)[399]["x"], "399 399 399 399")

    def test_what_does_not_get_smaller_is_stored_as_it_is(self):
        need("lz4")
        noise = numpy.random.default_rng(2).integers(0, 256, (50, 1000)).astype("u1")
        commit(self.out, [self.write({"x": ("u8", (1000,))}, {"x": noise}, codecs="lz4")])

        self.assertEqual(self.rows_of(self.out, 1)[0]["x"].split()[:8],
                         [str(value) for value in noise[0, :8]])


class Refusals(DataTest):
    def refusal(self, columns, rows, **settings):
        with self.assertRaises(DataError) as raised:
            with ChunkWriter(self.out, columns, partition=3, **settings) as writer:
                writer.write(rows)
        return str(raised.exception)

    def test_a_row_of_another_type_or_shape_is_named(self):
        good = numpy.zeros(2, "i4")
        self.assertEqual(
            self.refusal({"x": lists("i32")}, {"x": [good, numpy.zeros(2)]}),
            'column "x", row 1 of partition 3: lists of i32 expected, float64 found; convert them '
            'with .astype("int32")')
        self.assertIn("row 1 of partition 3: lists of shape [items] expected, [2, 1] found",
                      self.refusal({"x": lists("i32")}, {"x": [good, good.reshape(2, 1)]}))
        self.assertIn("lists of shape [items, 3] expected, [2] found",
                      self.refusal({"x": lists("i32", (3,))}, {"x": [good]}))

    def test_counts_that_are_not_those_of_the_items_are_refused(self):
        items = numpy.zeros(5, "i4")
        self.assertIn("the counts of its rows make 4 items, 5 found",
                      self.refusal({"x": lists("i32")}, {"x": (items, [3, 1])}))
        self.assertIn("a whole number from 0 for each row expected",
                      self.refusal({"x": lists("i32")}, {"x": (items, [6, -1])}))
        self.assertIn("a tuple is (items, counts), one of 3 found; give rows as a list of arrays",
                      self.refusal({"x": lists("i32")}, {"x": (items, items, items)}))

    def test_another_number_of_rows_is_refused(self):
        self.assertIn('column "y": 2 rows expected, as in "x", 1 found',
                      self.refusal({"x": lists("i32"), "y": "i32"},
                                   {"x": [[], []], "y": numpy.zeros(1, "i4")}))

    def test_what_is_not_finite_is_named_by_row_and_value(self):
        rows = [numpy.zeros((2, 2), "f4"), numpy.zeros((0, 2), "f4"), numpy.ones((3, 2), "f4")]
        rows[2][1, 1] = numpy.nan
        self.assertIn('column "x", row 2 of partition 3, value 3: a finite number expected, nan',
                      self.refusal({"x": lists("f32", (2,))}, {"x": rows}))

    def test_codecs_that_are_none_are_refused(self):
        self.assertIn('column "x": codec \'gz\' is none of none, lz4, zstd',
                      self.refusal({"x": "i32"}, {}, codecs="gz"))
        self.assertIn('a codec for column "y", which is none of: x',
                      self.refusal({"x": "i32"}, {}, codecs={"y": "lz4"}))

    def test_a_codec_whose_module_is_missing_is_named_with_what_to_install(self):
        for codec, module in CODECS.items():
            with self.subTest(codec=codec):
                (self.folder / f"{module}.py").write_text(
                    f'raise ModuleNotFoundError("No module", name="{module}")\n')
                done = subprocess.run(
                    [sys.executable, "-c", ONE_WRITER, str(self.out), codec], text=True,
                    capture_output=True, check=False,
                    env=dict(os.environ, PYTHONPATH=f"{self.folder}:{ROOT}/launch"))

                self.assertEqual(done.stdout, f"codec {codec} needs the Python module {module}: "
                                 f"pip install {module}, or apt-get install python3-{module}\n",
                                 done.stderr)


ONE_WRITER = """
import sys
from ballast_data import ChunkWriter, DataError
try:
    ChunkWriter(sys.argv[1], {"x": "i32"}, codecs=sys.argv[2])
except DataError as error:
    print(error)
"""
