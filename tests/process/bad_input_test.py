"""Bad input: the exact exit code, the ids the message must hold, and nothing left behind."""

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import launching
from launching import BALLAST, ROOT, UNPRIVILEGED
from process_case import BIN_DIR, LONG, ProcessTest, convert

# (claim, settings, exit code, what the message must contain)
SETTINGS = (
    ("an unknown key", ["train.bacth=64"], 2, ["train.bacth", "train.batch"]),
    ("a wrong type", ["train.batch=\"many\""], 2, ["train.batch", "many"]),
    ("out of range", ["train.batch=-1"], 2, ["train.batch", "-1"]),
    ("a missing data set", ["data.train=\"/no/such/folder\""], 2, ["/no/such/folder"]),
    ("zero workers", ["cluster.workers=0"], 2, ["cluster.workers = 0", "1 to "]),
    ("more workers than lanes", ["cluster.workers=5"], 2,
     ["cluster.workers = 5", "train.lanes = 4", "at most 4 workers"]),
    ("lanes not dividing batch", ["train.lanes=7"], 2, ["train.lanes", "120", "6", "8"]),
    ("a column that is not there", ["data.label=\"lable\""], 2, ["lable", "label"]),
    ("a loss that the last layer does not fit", ["model.loss=mean_squared_error"], 2,
     ["mean_squared_error", "layer 2", "10 values", "the label has 1", "to 1"]),
)


class BadSettings(ProcessTest):
    def test_each_is_refused_before_anything_is_started(self):
        for claim, settings, code, words in SETTINGS:
            with self.subTest(claim):
                done = self.run_job(*settings)

                self.assertEqual(done.returncode, code, done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)
                self.assertFalse((self.folder / "r").exists(), "a run directory was left")

    def test_an_output_narrower_than_the_classes_is_told_with_both(self):
        done = self.run_job("layer[2].units=4")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("label out of range", done.stderr)
        self.assertIn("0 to 3", done.stderr)

    def test_a_job_file_that_is_not_there_is_named(self):
        self.job.unlink()

        done = self.run_job()

        self.assertEqual(done.returncode, 2)
        self.assertIn("job.toml", done.stderr)

    def test_an_unknown_key_in_the_file_is_named_with_its_line(self):
        lines = self.job.read_text().splitlines()
        line = lines.index("batch = 120") + 1
        self.job.write_text("\n".join(lines).replace("batch = 120", "bacth = 120"))

        done = self.run_job()

        self.assertEqual(done.returncode, 2)
        self.assertIn(f"job.toml:{line}", done.stderr)

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            done = self.run_job("cluster.transport=tcp", f"cluster.port={port}")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(str(port), done.stderr)
        self.assertIn("in use", done.stderr.lower())

    def test_a_second_run_on_the_same_port_ends_and_leaves_the_first_alone(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = ["cluster.transport=tcp", f"cluster.port={port}", "train.epochs=40"]
        first = self.start(*settings)
        self.wait_for_step(first, 1)

        second = self.run_job(*settings, run_dir="second")

        self.assertEqual(second.returncode, 2, second.stderr)
        code, error = self.end(first, seconds=60)
        self.assertEqual(code, 0, error)
        self.assertEqual(self.summary()["restarts"], 0)


class BadJoins(ProcessTest):
    """A job that trains, and a worker started by hand with a config.toml of its own."""

    def setUp(self):
        super().setUp()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.launcher = self.start("cluster.transport=tcp", f"cluster.port={port}", LONG)
        self.wait_for_step(self.launcher, 1)
        self.config = (self.folder / "r/config.toml").read_text()

    def refused(self, config, program="ballast-worker"):
        """The other worker's failure, after a check that it failed alone."""
        other = self.folder / "other"
        other.mkdir()
        (other / "config.toml").write_text(config)

        worker = launching.run("--run-dir", other, "--index", "0", cwd=self.folder, timeout=30,
                               program=BIN_DIR / program)

        self.assertEqual(worker.returncode, 2, worker.stderr)
        self.wait_for_step(self.launcher, self.status()["step"] + 20)
        self.launcher.send_signal(signal.SIGINT)
        self.assertEqual(self.end(self.launcher, seconds=30)[0], 75)
        self.assertEqual(self.summary()["restarts"], 0)
        report = json.loads((other / "logs/worker-0.failure.json").read_text())
        log = (self.folder / "r/logs/coordinator-0.log").read_text()
        self.assertIn("refused: " + report["chain"][0], log)
        self.assertEqual(report["chain"][1:], ["while joining the coordinator"])
        return report["chain"][0]

    def test_of_another_run_are_refused_with_both(self):
        run = re.search('^run = "([0-9a-f]{16})"$', self.config, re.MULTILINE).group(1)

        reason = self.refused(self.config.replace(run, "0123456789abcdef"))

        self.assertIn("worker 0 is of run 0123456789abcdef", reason)
        self.assertIn(f"expected run {run}", reason)

    def test_of_another_job_are_refused_with_both_hashes(self):
        self.assertIn("seed = 7\n", self.config)

        reason = self.refused(self.config.replace("seed = 7\n", "seed = 8\n"))

        found, expected = re.search(r"worker 0 was started for job_hash (\w+), expected (\w+)",
                                    reason).groups()
        self.assertEqual(expected, self.summary()["job_hash"])
        self.assertNotEqual(found, expected)
        self.assertIn("seed", reason)

    def test_of_another_protocol_are_refused_with_both_ranges(self):
        reason = self.refused(self.config, program="foreign-worker")

        self.assertIn("worker 0 speaks protocol 4 to 4, expected 3 to 3", reason)
        self.assertIn("same build", reason)


class BadData(ProcessTest):
    def setUp(self):
        super().setUp()
        self.train = self.folder / "train"
        shutil.copytree(self.data / "train", self.train)

    def run_on_train(self, *settings):
        return self.run_job(f"data.train=\"{self.train}\"", *settings)

    def chunk(self):
        return next(self.train.glob("*.blc"))

    def flip(self, path, offset):
        """Flips one bit; a negative offset counts from the end."""
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)

    def refused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(list((self.folder).glob("r/checkpoints/*/manifest")))

    def test_a_truncated_chunk_is_named(self):
        chunk = self.chunk()
        chunk.chmod(0o600)
        whole = chunk.stat().st_size
        os.truncate(chunk, whole // 2)

        self.refused(self.run_on_train(), chunk.name, f"{whole} bytes expected",
                     f"{whole // 2} found")

    def test_a_missing_chunk_is_named(self):
        chunk = self.chunk()
        chunk.unlink()

        self.refused(self.run_on_train(), chunk.name)

    def test_a_flipped_bit_in_a_block_is_named_with_chunk_and_hashes(self):
        self.flip(self.chunk(), self.chunk().stat().st_size // 3)

        self.refused(self.run_on_train(), self.chunk().name, "block", "xxh3")

    def test_a_flipped_bit_in_a_footer_is_named(self):
        self.flip(self.chunk(), -60)

        self.refused(self.run_on_train(), self.chunk().name, "footer")

    def test_a_flipped_bit_in_the_manifest_is_named(self):
        manifest = self.train / "manifest"
        self.flip(manifest, manifest.stat().st_size // 2)

        self.refused(self.run_on_train(), "manifest")

    def convert_rows(self, change, *options):
        """The digits with one row changed, as the training data."""
        with gzip.open(ROOT / "tests/data/optdigits.tra.gz", "rt") as source:
            rows = source.read().splitlines()
        rows[41] = change(rows[41].split(","))
        changed = self.folder / "changed.csv"
        changed.write_text("\n".join(rows) + "\n")
        shutil.rmtree(self.train)
        return convert(changed, self.train, *options)

    def test_a_label_out_of_range_is_named_with_its_row(self):
        converted = self.convert_rows(lambda cells: ",".join(cells[:-1] + ["10"]))
        self.assertEqual(converted.returncode, 0, converted.stderr)

        done = self.run_on_train()

        self.assertEqual(done.returncode, 2, done.stderr)
        for word in ("label out of range", "found 10", "0 to 9", self.chunk().name, "block 0",
                     "row 41"):
            self.assertIn(word, done.stderr)

    def test_a_source_after_a_column_of_its_own_is_no_second_column(self):
        source = self.folder / "few.csv"
        source.write_text("width,kind,label\n0.5,1,0\n0.7,2,1\n")

        converted = launching.run("data", "convert", "--format", "csv", "--header", "--out",
                                  self.folder / "few", "--column", "kind", source, cwd=ROOT)

        self.assertEqual(converted.returncode, 0, converted.stderr)

    def test_a_nan_in_a_source_is_named_with_line_and_column(self):
        converted = self.convert_rows(lambda cells: ",".join(["nan"] + cells[1:]),
                                      "--features-type", "f32")

        self.assertEqual(converted.returncode, 2, converted.stderr)
        self.assertIn("changed.csv", converted.stderr)
        self.assertIn("42", converted.stderr)

    def test_a_nan_in_the_features_is_named_with_its_row(self):
        converted = self.convert_rows(lambda cells: ",".join(["nan"] + cells[1:]),
                                      "--features-type", "f32", "--allow-nonfinite")
        self.assertEqual(converted.returncode, 0, converted.stderr)

        done = self.run_on_train()

        self.refused(done, self.chunk().name, "block 0", "row 41", "column \"pixels\"", "value 0",
                     "finite", "nan")

    def test_a_loss_that_is_not_finite_names_worker_step_lanes_and_the_row(self):
        chunk = next((self.data / "train").glob("*.blc")).name
        for mode, lanes in (("sync", r"30 rows of lane \d"), ("async", r"60 rows of lanes \d, \d")):
            with self.subTest(mode=mode):
                done = self.run_job(f"train.mode={mode}", "train.optimizer.kind=sgd",
                                    "train.optimizer.learning_rate=1e30", run_dir=mode)

                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertRegex(done.stderr, rf"bad loss: that of \S+{chunk}, block \d+, row \d+ is NaN")
                self.assertRegex(done.stderr, lanes)
                self.assertRegex(done.stderr, r"on worker \d in step \d")

    def test_a_test_set_of_another_width_is_told_with_both(self):
        source = self.folder / "narrow.csv"
        source.write_text("\n".join([",".join(["1"] * 32 + ["3"])] * 50) + "\n")
        narrow = self.folder / "narrow"
        self.assertEqual(convert(source, narrow).returncode, 0)

        done = self.run_job(f"data.test=\"{narrow}\"")

        self.refused(done, f"data.test {narrow}", "64 features", "32 and 1 found", "data.train")


class BadPlaces(ProcessTest):
    def test_a_run_directory_that_cannot_be_made_is_named(self):
        (self.folder / "file").write_text("")

        done = self.run_job(run_dir="file/r")

        self.assertEqual(done.returncode, 2)
        self.assertIn("file/r", done.stderr)

    def test_a_folder_without_permission_is_named_and_left_as_it_was(self):
        locked = self.folder / "locked"
        locked.mkdir(mode=0o500)

        done = self.run_job(run_dir="locked/r", prefix=UNPRIVILEGED)

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("run directory locked/r: Permission denied", done.stderr)
        self.assertFalse(list(locked.iterdir()))

    def test_checkpoints_that_lose_their_permission_end_the_job_and_harm_no_older_one(self):
        launcher = self.start("train.epochs=60", prefix=UNPRIVILEGED)
        self.wait_for_checkpoint(launcher)
        checkpoints = self.folder / "r/checkpoints"
        checkpoints.chmod(0o500)
        self.addCleanup(checkpoints.chmod, 0o700)

        code, error = self.end(launcher, seconds=20)

        self.assertEqual(code, 2, error)  # for the user to mend, as a bad --run-dir is
        self.assertEqual(error.count("ballast: "), 1, error)
        self.assertRegex(error, rf"{checkpoints}/\d+ .*Permission denied; make it writable")
        checkpoints.chmod(0o700)
        resumed = self.resume()
        self.assertEqual(resumed.returncode, 0, resumed.stderr)

    def test_checkpoints_that_cannot_be_written_are_a_clean_stop(self):
        launcher = self.start("train.epochs=100000", "checkpoint.every_steps=0")
        self.wait_for_step(launcher, 1)
        blocked = self.folder / "r/checkpoints"
        shutil.rmtree(blocked, ignore_errors=True)
        blocked.write_text("a file where the folder should be")

        launcher.send_signal(2)

        code, error = self.end(launcher, seconds=20)
        self.assertEqual(code, 3, error)
        self.assertIn("checkpoints", error)

    def run_on_a_small_disk(self, size, *words):
        """What `ballast run` says with its run directory on a disk of its own; its standard output
        ends with the manifests that are there."""
        private = ["unshare", "--map-root-user", "--mount"]
        if subprocess.run([*private, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False,
                          capture_output=True).returncode != 0:
            self.skipTest("no mount of a small tmpfs allowed")
        small_disk = f'mount -t tmpfs -o size={size} tmpfs "$1" && cd "$2" && shift 2 && "$@"; ' \
                     "code=$?; ls r/checkpoints/*/manifest; exit $code"
        (self.folder / "r").mkdir(exist_ok=True)
        run = [str(BALLAST), "run", str(self.job), "--run-dir", "r", "--quiet", *words]
        return subprocess.run([*private, "bash", "-c", small_disk, "_", str(self.folder / "r"),
                               str(self.folder), *run], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_a_disk_that_anything_filled_ends_the_job_with_its_cause(self):
        # Whatever cannot be written first: a trace, a log, the state, a status, a part, a manifest.
        for size in range(900, 1400, 100):
            with self.subTest(size=size):
                done = self.run_on_a_small_disk(
                    f"{size}k", "--trace", *self.settings("train.epochs=2000",
                                                          "checkpoint.every_steps=20"))

                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertIn("o space left", done.stderr)
                self.assertNotIn("SIGABRT", done.stderr)

    def test_a_full_disk_is_a_clean_stop_without_half_a_checkpoint(self):
        # Checkpoints of 64 x 1024 weights with two Adam moments do not fit.
        done = self.run_on_a_small_disk(
            "192k", *self.settings("layer[0].units=1024", "train.epochs=1"))

        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("No space left", done.stderr)
        self.assertNotIn("manifest", done.stdout)
