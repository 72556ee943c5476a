"""What can be done with a trained run: evaluate, predict, export; also after a crash."""

import json
import os
import re
import signal

import launching
from process_case import LONG, ProcessTest


class Model(ProcessTest):
    def tool(self, *words):
        return launching.run(*words, cwd=self.folder, timeout=60)

    def evaluate(self, run_dir="r"):
        done = self.tool("evaluate", run_dir, self.data / "test", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_evaluate_gives_the_numbers_of_the_summary_bit_for_bit(self):
        for mode in ("sync", "ssp", "async"):
            with self.subTest(mode=mode):
                summary = self.finish(f"train.mode={mode}", "cluster.workers=3", run_dir=mode)

                found = self.evaluate(mode)

                self.assertEqual({"test_" + name: value
                                  for name, value in found["metrics"].items()}, summary["metrics"])
                self.assertEqual(found["weights_xxh3"], summary["weights_xxh3"])
                self.assertEqual(found["rows"], 1797)

    def test_export_gives_the_bytes_that_the_job_wrote(self):
        summary = self.finish("train.epochs=1")

        done = self.tool("export", "r", "--out", "again.safetensors")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(summary["weights_xxh3"], done.stdout)
        self.assertEqual((self.folder / "again.safetensors").read_bytes(),
                         (self.folder / "r/model.safetensors").read_bytes())

    def test_a_crashed_run_has_a_model_once_it_is_exported(self):
        launcher = self.start(LONG)
        self.wait_for_checkpoint(launcher)
        os.kill(self.pid_of("worker"), signal.SIGKILL)
        self.end(launcher, seconds=30)

        before = self.tool("evaluate", "r", self.data / "test")
        exported = self.tool("export", "r")

        self.assertEqual(before.returncode, 2)
        self.assertIn("ballast export", before.stderr)
        self.assertEqual(exported.returncode, 0, exported.stderr)
        self.assertIn(self.evaluate()["weights_xxh3"], exported.stdout)

    def test_a_live_export_is_the_model_after_a_whole_number_of_steps(self):
        launcher = self.start(LONG)
        self.wait_for_step(launcher, 5)

        done = self.tool("export", "r", "--live", "--out", "live.safetensors")

        self.assertEqual(done.returncode, 0, done.stderr)
        version, digest = re.search(r"version (\d+), weights_xxh3 (\w+)", done.stdout).groups()
        self.assertGreaterEqual(int(version), 5)
        self.assertEqual(len(self.status()["workers"]), 2, "a reader is not a worker")
        launcher.kill()
        stopped = self.finish(LONG, f"train.max_steps={version}", run_dir="again")
        self.assertEqual(stopped["weights_xxh3"], digest)

    def test_a_live_export_of_a_job_that_has_ended_says_so(self):
        self.finish("train.epochs=1")

        done = self.tool("export", "r", "--live", "--out", "live.safetensors")

        self.assertEqual(done.returncode, 3)
        self.assertIn("the job has ended", done.stderr)

    def test_predict_writes_a_distribution_over_the_classes_for_each_row(self):
        self.finish("train.epochs=1")

        done = self.tool("predict", "r", self.data / "test", "--out", "y.csv")

        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (self.folder / "y.csv").read_text().splitlines()
        self.assertEqual(len(lines), 1 + 1797)
        self.assertEqual(lines[0].split(",")[:2], ["class", "p0"])
        for line in lines[1:]:
            chances = [float(value) for value in line.split(",")[1:]]
            self.assertEqual(int(line.split(",")[0]), chances.index(max(chances)))
            self.assertAlmostEqual(sum(chances), 1, places=5)
