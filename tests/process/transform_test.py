"""Transforms, weights and tails through the real programs."""

import gzip
import shutil

import launching
from launching import ROOT
from process_case import ProcessTest

AUGMENTED = """
[[data.transform]]
kind = "random_rotate"
column = "pixels"
shape = [8, 8]
degrees = 15
[[data.transform]]
kind = "random_crop"
column = "pixels"
shape = [8, 8]
padding = 1
[[data.transform]]
kind = "noise"
column = "pixels"
sigma = 0.05
"""
FILTERED = """
[[data.transform]]
kind = "filter"
column = "label"
relation = "<"
value = 5
"""
SPARSE = """
[[data.transform]]
kind = "multi_hot"
column = "ids"
classes = 64
values = "values"
"""


def write_svm(source, path):
    """The digits from 0 to 1 as LibSVM: what is 0 is left out, ids count from 1."""
    with gzip.open(source, "rt") as rows, path.open("w") as out:
        for row in rows:
            *pixels, label = map(int, row.split(","))
            out.write(" ".join([str(label), *(f"{place}:{pixel / 16}" for place, pixel
                                              in enumerate(pixels, 1) if pixel)]) + "\n")


class Transforms(ProcessTest):
    def add(self, tables):
        self.job.write_text(self.job.read_text() + tables)

    def test_random_transforms_end_with_the_same_bits_for_any_workers_lane_moves_and_a_resume(self):
        self.add(AUGMENTED)
        settings = ("train.epochs=3", "train.batch=20", "data.tail=pad")
        one = self.finish(*settings, "cluster.workers=1", run_dir="one")
        three = self.finish(*settings, "cluster.workers=3", "cluster.heartbeat_ms=20",
                            "fault.move_lane_every_steps=20", run_dir="three")
        self.finish("train.batch=20", "data.tail=pad", "train.epochs=3", "train.max_steps=250",
                    run_dir="stopped")
        done = self.resume("train.max_steps=0", run_dir="stopped")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(three["weights_xxh3"], one["weights_xxh3"])
        self.assertEqual(self.summary("stopped")["weights_xxh3"], one["weights_xxh3"])
        self.assertEqual(one["samples"], 3 * 3823)

    def test_sparse_libsvm_reaches_the_bits_of_the_dense_one(self):
        text = self.folder / "digits.svm"
        write_svm(ROOT / "tests/data/optdigits.tra.gz", text)
        plain = self.job.read_text().replace(f'test = "{self.data}/test"', "")
        plain = plain[:plain.index("[[data.transform]]")] + plain[plain.index("[model]"):]
        weights = {}
        for name, options, features in (("dense", ("--width", "64"), "features"),
                                        ("sparse", ("--sparse",), "ids")):
            out = self.folder / name
            done = launching.run("data", "convert", "--format", "libsvm", text, "--out", out,
                                 "--block-kib", "16", *options, cwd=self.folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.job.write_text(plain.replace('"pixels"', f'"{features}"') +
                                (SPARSE if name == "sparse" else ""))
            summary = self.finish(f"data.train={out}", f"data.test={out}", run_dir=f"run-{name}")
            weights[name] = summary["weights_xxh3"]
            self.assertGreater(summary["metrics"]["test_accuracy"], 0.9)

        self.assertEqual(weights["sparse"], weights["dense"])
        streamed = self.finish("data.order=strip", "data.window=3", f"data.train={out}",
                               f"data.test={out}", run_dir="streamed")
        self.assertGreater(streamed["metrics"]["test_accuracy"], 0.9)

    def test_filtered_rows_teach_nothing_and_are_not_measured(self):
        self.add(FILTERED)
        for mode in ("sync", "async"):
            with self.subTest(mode=mode):
                summary = self.finish(f"train.mode={mode}", "cluster.workers=2", run_dir=mode)

                self.assertGreater(summary["metrics"]["test_accuracy"], 0.9)
                log = "".join(path.read_text()
                              for path in (self.folder / mode / "logs").glob("worker-*.log"))
                self.assertRegex(log, r"[1-9]\d* of \d+ samples taken weighed 0")
                # Predictions are of every row, whatever a filter says.
                done = launching.run("predict", mode, self.data / "test", "--out", mode + ".csv",
                                     cwd=self.folder, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                lines = (self.folder / (mode + ".csv")).read_text().splitlines()
                self.assertEqual(len(lines), 1 + 1797)
                seen = {line.partition(",")[0] for line in lines[1:]}
                self.assertLessEqual(seen, {"0", "1", "2", "3", "4"})

    def test_a_job_whose_rows_all_weigh_nothing_changes_nothing(self):
        self.add(FILTERED.replace("value = 5", "value = 0"))

        summary = self.finish("train.mode=sync", "train.epochs=2", run_dir="r")
        shorter = self.finish("train.mode=sync", "train.epochs=1", run_dir="s")

        self.assertEqual(summary["weights_xxh3"], shorter["weights_xxh3"])
        self.assertEqual(summary["metrics"], {})

    def test_class_weights_are_resolved_once_and_written_down(self):
        summary = self.finish("data.balance=weights")

        config = (self.folder / "r/config.toml").read_text()
        self.assertIn("class_labels = [0.0, 1.0, 2.0", config)
        self.assertGreater(summary["metrics"]["test_accuracy"], 0.85)

    def test_smote_makes_a_data_set_that_trains(self):
        made = self.folder / "made"
        done = launching.run("data", "smote", self.data / "train", "--out", made, cwd=self.folder,
                             timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("class 0: 376 rows and 13 made", done.stdout)

        summary = self.finish(f"data.train={made}")

        self.assertGreater(summary["metrics"]["test_accuracy"], 0.85)
        again = launching.run("data", "smote", self.data / "train", "--out", made, cwd=self.folder,
                              timeout=60)
        self.assertEqual(again.returncode, 2)
        self.assertIn("made", again.stderr)

    def test_a_tail_that_leaves_no_step_is_refused(self):
        done = self.run_job("data.tail=drop", "train.batch=4000")

        self.assertEqual(done.returncode, 2)
        self.assertIn('data.tail = "drop" leaves no step', done.stderr)
        self.assertIn("set train.batch to at most 3823", done.stderr)

    def test_the_augmented_example_is_at_least_as_accurate_as_the_plain_one(self):
        accuracy = {}
        for name in ("digits", "digits_augmented"):
            shutil.copy(ROOT / f"launch/examples/{name}.toml", self.job)
            summary = self.finish(f"data.train={self.data}/train", f"data.test={self.data}/test",
                                  "train.epochs=60", run_dir=name)
            accuracy[name] = summary["metrics"]["test_accuracy"]

        self.assertGreaterEqual(accuracy["digits_augmented"], accuracy["digits"])
        self.assertGreaterEqual(accuracy["digits_augmented"], 0.975)
