"""launch/quickstart from its third stage on: the programs as they are built, from any folder, twice."""

import json
import re
import time
import unittest

import launching
from launching import ROOT
from process_case import BIN_DIR, PROGRAMS, missing_program

END_S = 60  # promised for all that follows the build
ACCURACY_MIN = 0.96
RUNS = ROOT / "runs/quickstart"


class Quickstart(unittest.TestCase):
    def setUp(self):
        if missing := missing_program():
            self.skipTest(f"{missing} is not in {BIN_DIR.relative_to(ROOT)}")

    def quickstart(self, *words):
        return launching.run(*words, cwd="/", timeout=4 * END_S,
                             program=ROOT / "launch/quickstart")

    def test_trains_sync_and_async_in_a_minute_as_often_as_one_likes(self):
        for attempt in ("first", "second"):
            with self.subTest(attempt=attempt):
                started = time.time()

                done = self.quickstart("--no-build")

                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertLess(time.time() - started, END_S)
                for mode in ("sync", "async"):
                    summary = RUNS / mode / "summary.json"
                    result = json.loads(summary.read_text())
                    self.assertGreater(summary.stat().st_mtime, started, "left by an earlier run")
                    self.assertEqual(result["mode"], mode)
                    self.assertGreaterEqual(result["metrics"]["test_accuracy"], ACCURACY_MIN)
                    self.assertIn(f"runs/quickstart/{mode}", done.stdout.rpartition("\n== ")[2])

    def test_builds_every_program_that_the_launcher_starts(self):
        built = re.findall(r"--target (\S+)", (ROOT / "launch/quickstart").read_text())

        self.assertEqual(set(built), set(PROGRAMS))

    def test_an_option_it_does_not_know_is_answered_with_its_usage(self):
        done = self.quickstart("--fast")

        self.assertEqual(done.returncode, 2)
        self.assertIn("launch/quickstart [--no-build]", done.stdout)
