"""Each unit applies each sample of the job once: told by the units, as the last checkpoint holds
them, not by the workers' own counters."""

import json
import os
import signal
import subprocess

from process_case import BIN_DIR, ProcessTest

ROWS = 3823
LANES = 12
SETTINGS = (f"train.lanes={LANES}", "cluster.workers=3")


class Count(ProcessTest):
    def units(self, run_dir):
        done = subprocess.run([BIN_DIR / "checkpoint-units", self.folder / run_dir],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def expect_each_sample_once(self, epochs, run_dir):
        units = self.units(run_dir)
        # 64 x 32, 32, 32 x 10 and 10 weights in units of 1 KiB: at least one a parameter.
        self.assertGreater(len(units), 4)
        self.assertEqual(sorted(unit["unit"] for unit in units), list(range(len(units))))
        mode = self.summary(run_dir)["mode"]
        for unit in units:
            self.assertEqual(unit["samples"], epochs * ROWS, unit)
            self.assertEqual(unit["marks"], [] if mode == "sync" else [None] * LANES, unit)

    def test_with_a_slow_worker(self):
        for mode in ("ssp", "async", "sync"):
            with self.subTest(mode=mode):
                self.finish(*SETTINGS, f"train.mode={mode}", "train.epochs=6",
                            "fault.slow_worker=0", "fault.slow_factor=4", run_dir=mode)

                self.expect_each_sample_once(6, run_dir=mode)

    def test_with_lanes_that_move(self):
        for mode in ("ssp", "async"):
            with self.subTest(mode=mode):
                summary = self.finish(*SETTINGS, f"train.mode={mode}", "train.epochs=20",
                                      "fault.move_lane_every_steps=5", "cluster.heartbeat_ms=20",
                                      run_dir=mode)

                self.assertGreater(summary["lane_moves"], 2)
                self.expect_each_sample_once(20, run_dir=mode)

    def test_with_steps_ahead_of_their_answers_and_lanes_that_move(self):
        for mode in ("ssp", "async"):
            with self.subTest(mode=mode):
                summary = self.finish(*SETTINGS, f"train.mode={mode}", "train.epochs=20",
                                      "train.steps_in_flight=3", "fault.move_lane_every_steps=5",
                                      "cluster.heartbeat_ms=20", run_dir=mode)

                self.assertGreater(summary["lane_moves"], 2)
                self.expect_each_sample_once(20, run_dir=mode)

    def test_async_with_a_kill_and_a_resume_in_mid_job(self):
        self.kill_and_resume(steps_in_flight=1)

    def test_steps_ahead_of_their_answers_with_a_kill_and_a_resume_in_mid_job(self):
        self.kill_and_resume(steps_in_flight=3)

    def kill_and_resume(self, steps_in_flight):
        launcher = self.start(*SETTINGS, "train.mode=async", "train.epochs=40",
                              f"train.steps_in_flight={steps_in_flight}")
        self.wait_for_checkpoint(launcher)
        os.kill(self.pid_of("worker", 1), signal.SIGKILL)
        self.end(launcher, seconds=20)
        self.assertFalse(self.is_done(), "a job cut short passes for a whole one")

        done = self.resume()

        self.assertEqual(done.returncode, 0, done.stderr)
        self.expect_each_sample_once(40, run_dir="r")
