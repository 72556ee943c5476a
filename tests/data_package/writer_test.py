"""ChunkWriter: the bytes of the C++ writer, every type and shape, and what it refuses."""

import errno
import gzip
import os
import resource
import subprocess
import sys
import unittest.mock

import numpy

from ballast_data import ChunkWriter, DataError, PartitionReceipt, commit
from ballast_data.columns import DTYPES
from data_case import ROOT, DataTest

GOLDEN = {"pixels": ("u8", (2, 2)), "score": "f32", "half": ("f16", (2,)), "when": "i64",
          "label": "i32"}


def golden_rows(count=5):
    index = numpy.arange(count)
    return {"pixels": (10 * index[:, None] + numpy.arange(4)).astype("u1").reshape(-1, 2, 2),
            "score": (index / 2).astype("f4"),
            "half": numpy.stack([index, numpy.full(count, -0.5)], 1).astype("f2"),
            "when": numpy.left_shift(numpy.int64(1), 40 + index),
            "label": (index % 2).astype("i4")}


class SameBytes(DataTest):
    def write(self, columns, label, rows, pieces, **settings):
        writer = ChunkWriter(self.out, columns, label, **settings)
        count = len(next(iter(rows.values())))
        for begin in range(0, count, pieces):
            writer.write({name: values[begin:begin + pieces] for name, values in rows.items()})
        commit(self.out, [writer.close()])

    def test_the_golden_files_come_out_whatever_the_pieces(self):
        for pieces in (1, 2, 5):
            with self.subTest(pieces=pieces):
                self.write(GOLDEN, "label", golden_rows(), pieces, block_bytes=75)

                self.assertEqual(self.files_of(self.out),
                                 self.files_of(ROOT / "tests/data/golden"))

    def test_many_blocks_and_chunks_are_the_files_of_the_converter(self):
        random = numpy.random.default_rng(5)
        rows = {"features": random.integers(0, 1000, (9000, 2, 20)).astype("f4"),
                "id": random.integers(-2 ** 60, 2 ** 60, 9000),
                "label": random.integers(-3, 4, 9000).astype("i4")}
        names = ",".join([*(f"f{k}" for k in range(40)), "id", "label"])
        text = "\n".join(",".join(map(str, [*x.reshape(-1).astype(int), i, y]))
                         for x, i, y in zip(rows["features"], rows["id"], rows["label"]))
        with gzip.open(self.folder / "rows.csv.gz", "wt", 1) as file:  # one piece: one C++ writer
            file.write(f"{names}\n{text}\n")
        self.tool("convert", "--format", "csv", "rows.csv.gz", "--header", "--label", "label",
                  "--shape", "2,20", "--column", "id:i64", "--out", "cc", "--block-kib", 4,
                  "--chunk-mib", 1)

        self.write({"features": ("f32", (2, 20)), "id": "i64", "label": "i32"}, "label", rows, 1234,
                   block_bytes=4 << 10, chunk_bytes=1 << 20)

        written, expected = self.files_of(self.out), self.files_of(self.folder / "cc")
        self.assertEqual(sorted(written), sorted(expected))
        self.assertEqual(written, expected)
        self.assertGreater(len(written), 2)

    def test_labels_that_are_too_many_or_far_apart_are_counted_as_the_converter_does(self):
        for name, labels in (("far", [2 ** 31 - 1, -2 ** 31, 7, 7]), ("many", range(1025)),
                             ("just", range(1024))):
            with self.subTest(labels=name):
                self.out = self.folder / name
                labels = numpy.array(labels, "i4")
                (self.folder / "rows.csv").write_text(
                    "x,y\n" + "\n".join(f"1,{label}" for label in labels) + "\n")
                self.tool("convert", "--format", "csv", "rows.csv", "--header", "--label", "y",
                          "--out", f"cc-{name}")

                self.write({"features": ("f32", (1,)), "y": "i32"}, "y",
                           {"features": numpy.ones((len(labels), 1), "f4"), "y": labels}, 5000)

                self.assertEqual(self.files_of(self.out), self.files_of(self.folder / f"cc-{name}"))


class RoundTrip(DataTest):
    def test_every_type_and_shape_is_read_back(self):
        limits = {"u8": (0, 255), "i32": (-2 ** 31, 2 ** 31 - 1), "i64": (-2 ** 63, 2 ** 63 - 1),
                  "f16": (-65504, 0.5), "f32": (-1.5, 2.0 ** 120)}
        shapes = ((), (1,), (3,), (2, 2), (1, 2, 1))
        columns = {f"{kind}{len(shape)}{sum(shape)}": (kind, shape)
                   for kind in limits for shape in shapes}
        rows = {name: numpy.resize(numpy.array(limits[kind], DTYPES[kind]), (7, *shape))
                for name, (kind, shape) in columns.items()}
        with ChunkWriter(self.out, columns, block_bytes=500) as writer:
            writer.write(rows)
        commit(self.out, [writer.close()])

        found = self.rows_of(self.out)

        self.assertEqual(len(found), 7)
        for name, values in rows.items():
            for row, expected in zip(found, values):
                numbers = row[name].replace(",", " ").strip("[]").split()
                self.assertEqual(numpy.array(numbers, "f8").astype(values.dtype).tolist()
                                 if values.dtype.kind == "f" else [int(n) for n in numbers],
                                 expected.reshape(-1).tolist(), name)

    def test_arrays_in_any_order_of_memory_and_frames_are_taken(self):
        values = numpy.arange(60, dtype="i4").reshape(20, 3)
        for number, array in enumerate((values, numpy.asfortranarray(values),
                                        values[::-1][::-1], values.astype("i4").copy())):
            with ChunkWriter(self.out, {"x": ("i32", (3,))}, partition=number) as writer:
                writer.write({"x": array})
            first = writer.close().chunks if number == 0 else first
            self.assertEqual(writer.close().chunks, first)

    def test_a_row_larger_than_a_block_gets_its_own(self):
        with ChunkWriter(self.out, {"x": ("u8", (9000,))}, block_bytes=4096) as writer:
            writer.write({"x": numpy.zeros((3, 9000), "u1")})

        self.assertEqual([block.rows for block in writer.close().chunks[0].blocks], [1, 1, 1])

    def test_a_receipt_survives_json(self):
        with ChunkWriter(self.out, GOLDEN, "label", 4, block_bytes=75) as writer:
            writer.write(golden_rows())

        self.assertEqual(PartitionReceipt.from_json(writer.close().to_json()), writer.close())


class Refusals(DataTest):
    def refusal(self, call, *words, **named):
        with self.assertRaises(DataError) as raised:
            call(*words, **named)
        return str(raised.exception)

    def write_changed(self, **changes):
        writer = ChunkWriter(self.out, GOLDEN, "label", 2)
        writer.write(golden_rows(3))
        rows = golden_rows()
        for name, values in changes.items():
            rows.pop(name, None)
            if values is not None:
                rows[name] = values
        told = self.refusal(writer.write, rows)
        self.assertEqual(writer.close().rows, 3)  # nothing of what was refused
        return told

    def test_a_missing_column_is_named_with_what_was_found(self):
        self.assertEqual(self.write_changed(score=None),
                         'column "score" is missing; found: pixels, half, when, label')

    def test_a_column_too_much_is_named_with_the_nearest(self):
        self.assertIn('no column "labels" in the data set; did you mean "label"? it has: pixels, ',
                      self.write_changed(labels=numpy.zeros(5)))

    def test_another_type_is_refused_and_never_converted(self):
        self.assertEqual(self.write_changed(score=numpy.zeros(5)), 'column "score": f32 expected, '
                         'float64 found; convert it with .astype("float32")')
        self.assertIn("i32 expected, >i4 found", self.write_changed(label=numpy.zeros(5, ">i4")))
        rows = numpy.empty(5, object)
        rows[:] = [numpy.zeros(2, "f2")] * 5
        self.assertIn("object found; make one array of its rows with numpy.stack",
                      self.write_changed(half=rows))

    def test_another_shape_or_number_of_rows_is_refused(self):
        self.assertEqual(self.write_changed(pixels=numpy.zeros((5, 4), "u1")),
                         'column "pixels": arrays of shape [rows, 2, 2] expected, [5, 4] found')
        self.assertEqual(self.write_changed(score=numpy.float32(1)),
                         'column "score": arrays of shape [rows] expected, [] found')
        self.assertEqual(self.write_changed(when=numpy.zeros(4, "i8")),
                         'column "when": 5 rows expected, as in "pixels", 4 found')

    def test_what_is_not_finite_is_named_by_row_and_value(self):
        half = golden_rows()["half"]
        for bad in (numpy.nan, numpy.inf, -numpy.inf):
            half[3, 1] = bad
            self.assertIn('column "half", row 6 of partition 2, value 1: a finite number '
                          f"expected, {bad} found; training refuses it",
                          self.write_changed(half=half))

    def test_what_is_not_finite_is_kept_if_asked_for(self):
        with ChunkWriter(self.out, {"x": "f32"}, allow_nonfinite=True) as writer:
            writer.write({"x": numpy.array([1, numpy.nan], "f4")})
        commit(self.out, [writer.close()])

        self.assertIn("nan", self.rows_of(self.out)[1]["x"])

    def test_columns_that_are_none_are_refused(self):
        for columns, told in (({}, "at least one column"), ({"": "i32"}, "a name expected"),
                              ({"x": "f64"}, "type 'f64' is none of u8, i32, i64, f16, f32"),
                              ({"x": ("i32", (0,))}, "[0] has no legal size")):
            self.assertIn(told, self.refusal(ChunkWriter, self.out, columns))
        self.assertIn('label "y" is none of the columns: x',
                      self.refusal(ChunkWriter, self.out, {"x": "i32"}, "y"))

    def test_a_folder_that_cannot_be_made_is_named(self):
        (self.folder / "file").write_text("")

        self.assertIn(f"make folder {self.folder}/file/x: Not a directory",
                      self.refusal(ChunkWriter, self.folder / "file/x", {"x": "i32"}))

    def test_a_full_disk_ends_the_writer_and_leaves_no_file(self):
        done = subprocess.run([sys.executable, "-c", FULL_DISK, str(self.out)], text=True,
                              capture_output=True, check=False,
                              env=dict(os.environ, PYTHONPATH=str(ROOT / "launch")),
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                    (20000, 20000)))

        self.assertEqual(done.stdout.splitlines(), [
            f"write a file in {self.out} at byte 16384: File too large",
            "the writer of partition 0 failed before; start the partition again with a new one"],
            done.stderr)
        self.assertEqual(self.files_of(self.out), {})

    def test_nothing_is_written_after_the_receipt(self):
        writer = ChunkWriter(self.out, {"x": "i32"})
        writer.close()

        self.assertEqual(self.refusal(writer.write, {"x": numpy.zeros(1, "i4")}),
                         "write() after close()")

    def test_a_with_block_that_failed_gives_no_receipt(self):
        with self.assertRaises(ZeroDivisionError):
            with ChunkWriter(self.out, {"x": "i32"}, block_bytes=4096) as writer:
                writer.write({"x": numpy.zeros(2000, "i4")})
                raise ZeroDivisionError

        self.assertIn("failed before", self.refusal(writer.close))
        self.assertEqual(self.files_of(self.out), {})


class Crashes(DataTest):
    def test_kill_9_leaves_whole_chunks_or_nothing_and_the_task_can_run_again(self):
        random = numpy.random.default_rng(3)
        for _ in range(6):
            task = subprocess.Popen([sys.executable, "-c", ENDLESS, str(self.out)],
                                    stdout=subprocess.PIPE, text=True,
                                    env=dict(os.environ, PYTHONPATH=str(ROOT / "launch")))
            for _ in range(int(random.integers(1, 300))):
                task.stdout.readline()
            task.kill()
            task.communicate()
        left = set(self.files_of(self.out))

        with ChunkWriter(self.out, {"x": "i64"}, block_bytes=4096, chunk_bytes=30000) as writer:
            writer.write({"x": numpy.arange(50000)})
        commit(self.out, [writer.close()])

        self.assertTrue(all(name.endswith(".blc") for name in left), left)
        self.assertEqual(self.column(self.out, "x"), list(range(50000)))
        named = {chunk.name for chunk in writer.close().chunks}
        self.assertLessEqual(left, named)  # cut at the same rows: the same chunks

    def test_without_nameless_files_a_hidden_one_is_named_at_the_end(self):
        def no_tmpfile(path, flags, *mode):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "not here")
            return opened(path, flags, *mode)

        opened = os.open
        with unittest.mock.patch("os.open", no_tmpfile):
            writer = ChunkWriter(self.out, GOLDEN, "label", block_bytes=75)
            writer.write(golden_rows())
            hidden = [name.startswith(".new-") for name in os.listdir(self.out)]
            commit(self.out, [writer.close()])

        self.assertEqual(hidden, [True])
        self.assertEqual(self.files_of(self.out), self.files_of(ROOT / "tests/data/golden"))


ENDLESS = """
import sys, numpy
from ballast_data import ChunkWriter
writer = ChunkWriter(sys.argv[1], {"x": "i64"}, block_bytes=4096, chunk_bytes=30000)
for k in range(500):
    writer.write({"x": numpy.arange(100 * k, 100 * k + 100)})
    print(k, flush=True)
"""

FULL_DISK = """
import sys, numpy
from ballast_data import ChunkWriter, DataError
writer = ChunkWriter(sys.argv[1], {"x": "i32"}, block_bytes=4096)
for attempt in (lambda: writer.write({"x": numpy.zeros(9000, "i4")}), writer.close):
    try:
        attempt()
    except DataError as error:
        print(error)
"""
