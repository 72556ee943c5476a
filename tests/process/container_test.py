"""Codecs, added and dropped columns and appended rows, through the real programs: what a job
computes depends on the rows alone, not on how they are kept."""

import gzip
import shutil
import subprocess

from process_case import BIN_DIR, ProcessTest, ROOT, convert

TRAIN = ROOT / "tests/data/optdigits.tra.gz"
ROWS = 3823


def data(command, *arguments):
    return subprocess.run([BIN_DIR / "ballast-tool", "data", command, *map(str, arguments)],
                          capture_output=True, text=True, check=False)


class Container(ProcessTest):
    def place(self, folder):
        return f"data.train={folder}"

    def check(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_codec_changes_no_bit_of_the_weights(self):
        for order in ("full", "strip"):
            weights = set()
            for codec in ("none", "lz4", "zstd"):
                folder = self.folder / f"{codec}-{order}"
                self.check(convert(TRAIN, folder, "--block-kib", "8", "--chunk-mib", "1",
                                   "--features-type", "u8", "--codec", codec, "--codec", "label=none"))
                done = self.finish(self.place(folder), f"data.order={order}", "data.window=3",
                                   "train.epochs=2", run_dir=f"run-{codec}-{order}")
                weights.add(done["weights_xxh3"])

            self.assertEqual(len(weights), 1, order)
        self.assertIn(", zstd to ", self.check(data("inspect", folder)))

    def test_rows_that_were_appended_are_rows_like_the_others(self):
        lines = gzip.decompress(TRAIN.read_bytes()).splitlines(keepends=True)
        (self.folder / "head.csv").write_bytes(b"".join(lines[:2000]))
        (self.folder / "tail.csv").write_bytes(b"".join(lines[2000:]))
        whole, parts = self.folder / "whole", self.folder / "parts"
        self.check(convert(TRAIN, whole))
        self.check(convert(self.folder / "head.csv", parts))
        self.check(convert(self.folder / "tail.csv", parts, "--append", "--codec", "zstd",
                           "--features-type", "u8"))

        self.assertIn(f"rows          {ROWS}", self.check(data("inspect", parts)))
        self.assertIn(f"{ROWS} rows", self.check(data("verify", parts)))
        weights = [self.finish(self.place(folder), "data.order=full", "train.epochs=2",
                               run_dir=f"run-{folder.name}")["weights_xxh3"]
                   for folder in (whole, parts)]
        self.assertEqual(weights[0], weights[1])

    def test_nothing_is_appended_that_does_not_fit(self):
        folder = self.folder / "data"
        self.check(convert(TRAIN, folder, "--features-type", "u8"))
        before = (folder / "manifest").read_bytes()
        other = convert(TRAIN, folder, "--append", "--features-type", "f32")
        nowhere = convert(TRAIN, self.folder / "none", "--append")

        self.assertEqual(other.returncode, 2, other.stderr)
        self.assertIn("pixels u8 [64]", other.stderr)
        self.assertIn("pixels f32 [64]", other.stderr)
        self.assertEqual((folder / "manifest").read_bytes(), before)
        self.assertEqual(nowhere.returncode, 2, nowhere.stderr)
        self.assertFalse((self.folder / "none").exists())

    def test_a_column_is_added_and_dropped_without_touching_a_chunk(self):
        folder = self.folder / "data"
        shutil.copytree(self.data / "train", folder)
        chunks = {path.name: path.read_bytes() for path in folder.glob("*.blc")}
        plain = self.finish(self.place(folder), "train.epochs=1", run_dir="plain")
        self.check(data("add-column", folder, "bonus", "--type", "i32", "--default", "-3"))
        head = self.check(data("head", folder, "-n", "1"))
        added = self.finish(self.place(folder), "train.epochs=1", run_dir="added")
        self.check(data("drop-column", folder, "bonus"))
        dropped = self.check(data("inspect", folder))

        self.assertIn("bonus: -3\n", head)
        self.assertEqual(added["weights_xxh3"], plain["weights_xxh3"])
        self.assertNotIn("bonus", dropped)
        self.assertEqual({path.name: path.read_bytes() for path in folder.glob("*.blc")}, chunks)

    def test_a_wrong_codec_or_column_is_refused_with_the_choices(self):
        codec = convert(TRAIN, self.folder / "a", "--codec", "gzip")
        column = convert(TRAIN, self.folder / "b", "--codec", "pixel=lz4")
        missing = data("drop-column", self.data / "train", "bonus")

        for done, text in ((codec, "codec none, lz4 or zstd expected, \"gzip\" found"),
                           (column, "codec lz4 of column \"pixel\": no such column"),
                           (missing, "no column \"bonus\"")):
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(text, done.stderr)
