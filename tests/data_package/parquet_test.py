"""`ballast data convert --format parquet`: types, order, what is missing, refusals, going on
after a kill, memory. The conversions run in the first Python of PATH, if it has pyarrow."""

import os
import resource
import signal
import subprocess
import sys

import launching
from data_case import ROOT, DataTest, first_python, python_with

MAKE = """
import sys
import numpy as np, pyarrow as pa
from pyarrow import parquet
table = {expression}
parquet.write_table(table, sys.argv[1], row_group_size={row_group_size})
"""
CONVERT = ("data", "convert", "--format", "parquet")


class ParquetTest(DataTest):
    def setUp(self):
        self.python = python_with("pyarrow", "numpy", "xxhash", "flatbuffers")
        super().setUp()

    def make(self, expression, name="rows.parquet", row_group_size=1000):
        """A file of the table that `expression` gives (np, pa)."""
        code = MAKE.format(expression=expression, row_group_size=row_group_size)
        subprocess.run([self.python, "-c", code, name], cwd=self.folder, check=True)
        return name

    def command(self, *words, out="out"):
        return [self.python, "-B", str(launching.BALLAST), *CONVERT, "--out", out, *map(str, words)]

    def convert(self, *words, out="out"):
        return subprocess.run(self.command(*words, out=out), cwd=self.folder, capture_output=True,
                              text=True, check=False, timeout=120)

    def converted(self, *words, out="out", note=""):
        """-> the rows, as ballast-tool reads them"""
        done = self.convert(*words, out=out)
        self.assertEqual((done.returncode, done.stderr), (0, note))
        self.assertFalse((self.folder / out / ".receipts").exists())
        return self.rows_of(self.folder / out)

    def refusal(self, *words):
        done = self.convert(*words)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertFalse(self.out.exists())
        return done.stderr.removeprefix("ballast: ").strip()


class Values(ParquetTest):
    def test_the_golden_file_has_the_rows_it_is_said_to_have(self):
        golden = ROOT / "tests/data/convert"
        self.converted(golden / "rows.parquet", "--label", "label")

        self.assertEqual(self.tool("head", "out", "-n", 9), (golden / "parquet.expected").read_text())

    def test_every_type_becomes_one_that_holds_its_values(self):
        kinds = {"bool_": ("[True, False]", ["1", "0"]), "uint8": ("[255, 0]", ["255", "0"]),
                 "int8": ("[-128, 1]", ["-128", "1"]), "int16": ("[-9, 1]", ["-9", "1"]),
                 "uint16": ("[65535, 1]", ["65535", "1"]),
                 "int32": ("[-2**31, 1]", ["-2147483648", "1"]),
                 "uint32": ("[2**32 - 1, 1]", ["4294967295", "1"]),
                 "int64": ("[-2**63, 1]", ["-9223372036854775808", "1"]),
                 "float16": ("[np.float16(0.5), np.float16(1)]", ["0.5", "1"]),
                 "float32": ("[0.25, 1]", ["0.25", "1"]), "float64": ("[0.1, 1]", ["0.1", "1"])}
        self.make("pa.table({" + ", ".join(f'"{kind}": pa.array({values}, pa.{kind}())'
                                           for kind, (values, _) in kinds.items()) + "})")

        rows = self.converted("rows.parquet")

        self.assertEqual(rows, [{kind: texts[k] for kind, (_, texts) in kinds.items()}
                                for k in range(2)])
        types = [line.split()[2] for line in self.tool("inspect", "out").splitlines()
                 if line.startswith("column")]
        self.assertEqual(types, "u8 u8 i32 i32 i32 i32 i64 i64 f16 f32 f32".split())

    def test_lists_of_one_length_become_shapes(self):
        self.make('pa.table({"a": pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),'
                  '"b": pa.array([[[1, 2], [3, 4]]] * 2, pa.list_(pa.list_(pa.uint8(), 2), 2)),'
                  '"c": pa.array([[.5] * 4] * 2, pa.list_(pa.float64()))})')

        rows = self.converted("rows.parquet", "--shape", "c=2,2")

        self.assertEqual(rows[1], {"a": "3 4", "b": "1 2 3 4", "c": "0.5 0.5 0.5 0.5"})
        told = self.tool("inspect", "out")
        for column in ("a i32 [2]", "b u8 [2, 2]", "c f32 [2, 2]"):
            self.assertIn(column, told)

    def test_lists_of_any_length_stay_lists(self):
        self.make('pa.table({"a": [[1, 2], [], [3], [4, 5, 6]], '
                  '"b": pa.array([[[1, 2]], [[3, 4], [5, 6]], [], [[7, 8]]], '
                  'pa.list_(pa.list_(pa.float32(), 2))), "label": pa.array([0, 1, 0, 1], '
                  'pa.int32())})', row_group_size=3)

        rows = self.converted("rows.parquet", "--label", "label")

        self.assertEqual([row["a"] for row in rows], ["[1 2]", "[]", "[3]", "[4 5 6]"])
        self.assertEqual([row["b"] for row in rows], ["[1 2]", "[3 4 5 6]", "[]", "[7 8]"])
        told = self.tool("inspect", "out")
        for column in ("a i64 [], lists", "b f32 [2], lists"):
            self.assertIn(column, told)

    def test_lists_that_are_missing_are_refused_by_place_or_empty(self):
        self.make('pa.table({"a": pa.array([[1], None, [2, None], [3]], pa.list_(pa.uint8())), '
                  '"b": pa.array([[[1, 2]], [], [[3, 4], None], []], '
                  'pa.list_(pa.list_(pa.int32(), 2)))})', row_group_size=3)

        self.assertEqual(self.refusal("rows.parquet", "--columns", "a"),
                         'rows.parquet, row group 0, row 1, column "a": a list expected, null '
                         "found; with --null VALUE it is an empty one")
        self.assertIn('row group 0, row 2, column "b": a list inside of it is null',
                      self.refusal("rows.parquet", "--columns", "b", "--null", "0"))
        self.assertIn('row group 0, row 2, column "a": --null 256 is not a value of type u8',
                      self.refusal("rows.parquet", "--columns", "a", "--null", "256"))
        rows = self.converted("rows.parquet", "--columns", "a", "--null", "9")
        self.assertEqual([row["a"] for row in rows], ["[1]", "[]", "[2 9]", "[3]"])

    def test_columns_take_the_codec_they_are_given(self):
        codec = "lz4" if first_python(("lz4.block",)) else "none"
        self.make('pa.table({"a": [[k] * (k % 5) for k in range(3000)], "b": range(3000)})')

        rows = self.converted("rows.parquet", "--codec", "none", "--codec", f"a={codec}")

        self.assertEqual(rows[7], {"a": "[7 7]", "b": "7"})
        self.assertIn("codec 'gz' is none of none, lz4, zstd",
                      self.convert("rows.parquet", "--codec", "gz", out="gz").stderr)
        self.assertIn('a codec for column "z", which is none of: a, b',
                      self.convert("rows.parquet", "--codec", "z=none", out="z").stderr)

    def test_columns_are_chosen_ordered_and_left_out(self):
        self.make('pa.table({"a": [1, 2], "b": [3, 4], "c": ["x", "y"]})')

        chosen = self.converted("rows.parquet", "--columns", "b,a", out="chosen")
        others = self.converted("rows.parquet", "--skip", "c", out="others")

        self.assertEqual((list(chosen[0]), list(others[0])), (["b", "a"], ["a", "b"]))

    def test_rows_stand_in_the_order_of_files_and_row_groups_for_any_processes(self):
        names = []
        for first in (0, 5000, 5100):
            name = f"{first}.parquet"
            end = {0: 5000, 5000: 5100, 5100: 90000}[first]
            names.append(self.make(f'pa.table({{"id": np.arange({first}, {end}), "label": '
                                   f'np.arange({first}, {end}) % 3}})', name, 700))
        for processes in (1, 3):
            with self.subTest(processes=processes):
                out = f"p{processes}"

                self.converted(*names, "--label", "label", "--threads", processes, "--chunk-mib",
                               1, "--block-kib", 64, out=out)

                self.assertEqual(self.column(self.folder / out, "id"), list(range(90000)))
        self.assertEqual(self.files_of(self.folder / "p1"), self.files_of(self.folder / "p3"))
        self.assertIn("label = 2: 30000 rows", self.tool("inspect", "p1"))

    def test_what_is_missing_is_refused_by_place_or_filled(self):
        self.make('pa.table({"id": range(9), "x": pa.array([1, 2, 3, 4, 5, None, 7, 8, 9], '
                  'pa.uint8()), "v": pa.array([[1, 2]] * 8 + [None], pa.list_(pa.float32(), 2)), '
                  '"w": pa.array([None, [1., None]] * 4 + [[1., 2.]], pa.list_(pa.float64()))})',
                  row_group_size=4)

        self.assertEqual(self.refusal("rows.parquet", "--columns", "x"),
                         'rows.parquet, row group 1, row 5, column "x": a value expected, null '
                         "found; say with --null VALUE what stands for it")
        self.assertIn('row group 2, row 8, column "v": a value expected',
                      self.refusal("rows.parquet", "--columns", "v"))
        for null in ("-1", "256", "0.5", "x"):
            self.assertIn(f'row 5, column "x": --null {null} is not a value of type u8',
                          self.refusal("rows.parquet", "--columns", "x", f"--null={null}"))
        rows = self.converted("rows.parquet", "--shape", "w=2", "--null", 7)
        self.assertEqual([row["x"] for row in rows], "1 2 3 4 5 7 7 8 9".split())
        self.assertEqual((rows[7]["v"], rows[8]["v"]), ("1 2", "7 7"))
        self.assertEqual([row["w"] for row in rows], ["7 7", "1 7"] * 4 + ["1 2"])


class Refusals(ParquetTest):
    def test_columns_that_cannot_be_numbers_are_named_with_a_way_out(self):
        self.make('pa.table({"a": [1], "s": ["x"], "u": pa.array([1], pa.uint64()), '
                  '"t": pa.array([1], pa.timestamp("us")), "l": [[[1], [2, 3]]]})')
        for column, told in (("s", 'column "s" is string; numbers, booleans or lists of them '
                              "expected: convert it before, or leave it out with --skip s"),
                             ("u", 'column "u" is uint64'), ("t", 'column "t" is timestamp[us]'),
                             ("l", 'column "l" is list<'),
                             ("z", 'no column "z"; it has: a, s, u, t, l')):
            self.assertIn(told, self.refusal("rows.parquet", "--columns", column))
        self.assertIn('column "a" is int64; --shape is for columns of lists',
                      self.refusal("rows.parquet", "--columns", "a", "--shape", "a=2"))
        self.assertIn("--shape a: expected NAME=LENGTH",
                      self.refusal("rows.parquet", "--shape", "a"))
        self.assertIn('label "l" is none of the columns', self.refusal(
            "rows.parquet", "--columns", "a", "--label", "l"))

    def test_a_list_of_another_length_is_named_by_row(self):
        self.make('pa.table({"l": [[1, 2]] * 5 + [None, [1, 2, 3]]})', row_group_size=4)

        self.assertEqual(self.refusal("rows.parquet", "--shape", "l=2", "--null", "0"),
                         'rows.parquet, row group 1, row 6, column "l": a list of 2 values '
                         "expected, of 3 found")

    def test_what_is_not_finite_is_named_by_row(self):
        self.make('pa.table({"x": [0.5] * 6 + [1e300]})', row_group_size=4)

        self.assertIn('column "x", rows.parquet, row group 1, row 6, value 0: a finite number '
                      "expected, inf found", self.refusal("rows.parquet"))
        self.assertEqual(self.converted("rows.parquet", "--allow-nonfinite")[6], {"x": "inf"})

    def test_files_of_other_columns_are_named(self):
        self.make('pa.table({"a": [1], "b": [2]})')
        self.make('pa.table({"a": [1], "b": [2.5]})', "other.parquet")

        self.assertEqual(self.refusal("rows.parquet", "other.parquet"),
                         "other.parquet: other columns than in rows.parquet: a i64 [], b i64 [] "
                         "expected, a i64 [], b f32 [] found")

    def test_files_without_rows_are_named(self):
        self.make('pa.table({"a": pa.array([], pa.int32())})')

        self.assertEqual(self.refusal("rows.parquet"), "rows.parquet: no rows")

    def test_files_that_are_none_or_damaged_are_named(self):
        (self.folder / "text").write_text("a,b\n1,2\n" * 9)
        self.make('pa.table({"a": np.arange(9000)})')
        whole = bytearray((self.folder / "rows.parquet").read_bytes())
        whole[4:2000] = bytes(1996)
        (self.folder / "damaged.parquet").write_bytes(whole)

        self.assertIn("text: ", self.refusal("text"))
        self.assertIn("read absent: No such file or directory", self.refusal("absent"))
        self.assertIn("damaged.parquet: ", self.refusal("damaged.parquet"))

    def test_a_data_set_that_is_there_is_kept_or_replaced(self):
        self.make('pa.table({"a": range(9)})')
        self.converted("rows.parquet")
        self.make('pa.table({"a": range(5)})')

        refused = self.convert("rows.parquet")
        replaced = self.converted("rows.parquet", "--overwrite")

        self.assertEqual(refused.returncode, 2)
        self.assertIn("out already holds a data set: choose another folder", refused.stderr)
        self.assertEqual((len(replaced), len(self.files_of(self.out))), (5, 2))


BEHIND_MANIFEST = """
import shutil
from ballast_data import conversion, parquet
shutil.rmtree = lambda *words, **named: None
settings = parquet.Settings(block_bytes=64 << 10, chunk_bytes=1 << 20)
conversion.convert(parquet.make_plan(["rows.parquet"], "out", settings), 1)
"""


class Stopped(ParquetTest):
    launcher = None

    def tearDown(self):
        if self.launcher and self.launcher.poll() is None:
            self.launcher.kill()
            self.launcher.communicate()

    def start(self):
        """A conversion of many partitions by one process, killed after the third."""
        self.make('pa.table({"id": np.arange(3_000_000)})', row_group_size=1 << 17)
        words = ("rows.parquet", "--threads", 1, "--chunk-mib", 1, "--block-kib", 64)
        self.launcher = subprocess.Popen(self.command(*words), cwd=self.folder, text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         start_new_session=True)
        receipts = self.out / ".receipts"
        launching.wait_until(lambda: (receipts / "2.json").exists(), "three partitions", 60)
        return self.launcher, receipts, words

    def test_after_kill_9_the_same_command_goes_on_and_gives_the_same_data_set(self):
        launcher, receipts, words = self.start()
        launcher.kill()
        launcher.communicate()
        launching.wait_until(lambda: not processes_of(launcher.pid), "its processes are gone")
        kept = {path.name for path in receipts.glob("[0-9]*.json")}
        chunks = {path.name: path.stat().st_ino for path in self.out.glob("*.blc")}
        self.assertFalse((self.out / "manifest").exists())
        self.assertLess(len(kept), 23)

        told = f"out: goes on; {len(kept)} of 23 pieces were finished before\n"
        self.converted(*words, note=told)

        for path in self.out.glob("*.blc"):
            self.assertEqual(chunks.get(path.name, path.stat().st_ino), path.stat().st_ino)
        self.converted(*words, out="whole")
        self.assertEqual(self.files_of(self.out), self.files_of(self.folder / "whole"))

    def test_ctrl_c_ends_all_processes_with_one_line(self):
        launcher, _, _ = self.start()
        os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does
        _, error = launcher.communicate(timeout=30)

        self.assertEqual((launcher.returncode, error), (130, "ballast: stopped\n"))
        self.assertEqual(processes_of(launcher.pid), [])

    def test_receipts_of_other_settings_are_not_taken(self):
        launcher, _, words = self.start()
        launcher.kill()
        launcher.communicate()

        self.converted(*words[:-1], 128, note="out: starts over what an earlier run began: the "
                       "sources or the options have changed\n")
        self.converted(*words[:-1], 128, out="whole")

        self.assertEqual(self.files_of(self.out), self.files_of(self.folder / "whole"))

    def test_stopped_behind_the_manifest_only_the_end_is_left_to_do(self):
        launcher, receipts, words = self.start()
        launcher.kill()
        launcher.communicate()
        self.converted(*words, out="whole")
        whole = self.files_of(self.folder / "whole")
        commands = f"import sys; sys.path.insert(0, {str(ROOT / 'launch')!r})\n" + BEHIND_MANIFEST
        subprocess.run([self.python, "-c", commands], cwd=self.folder, check=True)
        self.assertTrue((self.out / "manifest").exists() and receipts.exists())

        self.converted(*words, note="out: goes on; 23 of 23 pieces were finished before\n")

        self.assertEqual(self.files_of(self.out), whole)

    def test_two_conversions_into_one_folder_do_not_meet(self):
        _, _, words = self.start()

        done = self.convert(*words)

        self.assertIsNone(self.launcher.poll())
        self.assertEqual((done.returncode, done.stderr), (
            2, "ballast: out: another conversion into it runs; wait for its end\n"))

    def test_a_full_disk_is_one_line_and_exit_code_3(self):
        self.make('pa.table({"id": np.arange(100_000)})')
        done = subprocess.run(self.command("rows.parquet"), cwd=self.folder, capture_output=True,
                              text=True, check=False, preexec_fn=lambda: resource.setrlimit(
                                  resource.RLIMIT_FSIZE, (20000, 20000)))

        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, r"^ballast: write a file in out at byte \d+: File too large; "
                         r"what is converted stays: the same command again goes on from there\n$")


class Memory(ParquetTest):
    PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
"""

    def peak_bytes(self, rows):
        """Of the largest process of a conversion of one row group."""
        values = f"np.random.default_rng(1).random({rows} * 40, np.float32)"
        self.make(f'pa.table({{"x": pa.FixedSizeListArray.from_arrays(pa.array({values}), 40)}})',
                  row_group_size=rows)
        command = self.command("rows.parquet", "--threads", 1, "--overwrite")
        done = subprocess.run([sys.executable, "-c", self.PEAK, *command], cwd=self.folder,
                              capture_output=True, text=True, check=True)
        return int(done.stdout)

    def test_the_size_of_a_row_group_is_not_the_memory_of_a_process(self):
        small, large = self.peak_bytes(50_000), self.peak_bytes(1_000_000)  # 8 MB, 160 MB

        self.assertLess(large - small, 48 << 20, f"{small} and {large} bytes")


class WithoutPyarrow(DataTest):
    def test_what_to_install_is_one_line(self):
        stubs = {"pyarrow": "which Debian does not have: python3 -m venv",
                 "xxhash": "apt-get install python3-xxhash"}
        for module, told in stubs.items():
            with self.subTest(module=module):
                folder = self.folder / module
                folder.mkdir()
                (folder / f"{module}.py").write_text(
                    f'raise ModuleNotFoundError("No module", name="{module}")\n')

                done = subprocess.run(
                    ["/usr/bin/python3", "-B", str(launching.BALLAST), *CONVERT, "--out", "o", "x"],
                    cwd=ROOT, capture_output=True, text=True, check=False,
                    env=dict(os.environ, PYTHONPATH=str(folder)))

                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(f"needs the Python module {module}" if module == "xxhash"
                              else "needs pyarrow", done.stderr)
                self.assertIn(told, done.stderr)


def processes_of(group):
    """Lines of ps about living processes of a process group; none: all have ended."""
    listing = subprocess.run(["ps", "-eo", "pgid=,pid=,stat="], text=True, capture_output=True,
                             check=True).stdout
    return [line for line in listing.splitlines()
            if line.split()[0] == str(group) and "Z" not in line]
