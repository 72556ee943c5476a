"""Every way a process can die, and what the user is told."""

import os
import shutil
import signal
import time

import launching
from launcher_case import LONG, LauncherTest

ROLES = (("coordinator", 0), ("server", 1), ("worker", 1))


class Failing(LauncherTest):
    def test_a_killed_process_ends_the_job_and_is_named_with_its_step(self):
        for role, index in ROLES:
            with self.subTest(role=role):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                name = role if role == "coordinator" else f"{role} {index}"
                start = time.monotonic()

                done = self.run_job(steps=LONG, who=f"{role}-{index}", at_step=20,
                                    misfortune="kill")

                self.assertLess(time.monotonic() - start, 10)
                self.assertEqual(done.returncode, 3)
                self.assertIn(f"ballast: {name} was killed by signal 9 (SIGKILL)", done.stderr)
                self.assertRegex(done.stderr, r"last step [1-6]\d\b")
                self.assertTrue(launching.last_line(done.stderr).endswith(
                    "job.toml --run-dir r-2"), "r is used up: another name that is free")

    def test_the_step_is_the_largest_that_anybody_knows_of(self):
        for role, index in ROLES:
            with self.subTest(role=role):
                shutil.rmtree(self.folder / "r", ignore_errors=True)

                done = self.run_job(steps=LONG, who=f"{role}-{index}", at_step=20,
                                    misfortune="kill", stale_status=True, log_losses=True)

                self.assertRegex(done.stderr, r"last step (1[4-9]|[2-6]\d)\b")

    def test_the_step_of_an_earlier_start_is_not_told(self):
        self.run_job(steps=LONG, checkpoint_at=5, who="worker-1", at_step=90, misfortune="kill",
                     log_losses=True)

        done = self.run_launcher("run", "--resume", "r", "--set", "fake.at_step=20")

        # On a busy machine the others are a few steps further than the killed one, never at 90.
        self.assertRegex(done.stderr, r"last step (1[4-9]|[2-6]\d)\b")

    def test_a_failure_report_gives_the_cause_the_step_and_the_exit_code(self):
        for code, expected in ((1, 1), (2, 2), (3, 3), (9, 3)):
            with self.subTest(code=code):
                shutil.rmtree(self.folder / "r", ignore_errors=True)

                done = self.run_job(steps=LONG, who="worker-1", at_step=3, misfortune="report",
                                    code=code)

                self.assertEqual(done.returncode, expected)
                self.assertIn(f"worker 1 failed with exit code {code}, last step 3", done.stderr)
                self.assertIn("cause: loss is nan on worker-1\n         while testing",
                              done.stderr)

    def test_bad_input_is_to_be_mended_before_it_is_tried_again(self):
        done = self.run_job(steps=LONG, who="worker-1", at_step=0, misfortune="report", code=2)

        self.assertIn("exit code 2, before the first step", done.stderr)
        self.assertIn("once that is mended, to run again:", launching.last_line(done.stderr))

    def test_the_command_to_go_on_with_traces_again_where_this_one_did(self):
        for words in ((), ("--trace",)):
            with self.subTest(words=words):
                shutil.rmtree(self.folder / "r", ignore_errors=True)

                done = self.run_job(*words, steps=LONG, who="worker-1", at_step=0,
                                    misfortune="report", code=3)

                last = launching.last_line(done.stderr)
                self.assertIn("to run again:", last)
                self.assertEqual("--trace" in last, bool(words), last)

    def test_the_earliest_failure_is_told_although_others_follow(self):
        for misfortune in ("kill", "report"):
            with self.subTest(misfortune=misfortune):
                shutil.rmtree(self.folder / "r", ignore_errors=True)

                done = self.run_job(steps=LONG, who="server-1", at_step=5, misfortune=misfortune,
                                    peers_react=True)

                self.assertEqual(done.stderr.count("ballast: "), 1, done.stderr)
                self.assertIn("ballast: server 1", done.stderr)

    def test_a_process_that_dies_without_a_report_shows_its_last_output(self):
        done = self.run_job(steps=LONG, who="worker-0", at_step=2, misfortune="exit", code=2)

        self.assertEqual(done.returncode, 2)
        self.assertIn("| worker-0 meets exit", done.stderr)

    def test_a_checkpoint_makes_the_advice_a_resume(self):
        done = self.run_job(steps=LONG, checkpoint_at=5, who="worker-1", at_step=40,
                            misfortune="kill")

        self.assertIn("last checkpoint: 5 ", done.stderr)
        self.assertTrue(launching.last_line(done.stderr).endswith("run --resume r"), done.stderr)

    def test_a_process_that_ignores_sigterm_is_killed_within_10_seconds(self):
        launcher = self.start_job(who="server-0", at_step=1, misfortune="hang")
        launching.wait_until(
            lambda: "meets hang" in (self.folder / "r/logs/server-0.out").read_text(), "the hang")

        os.kill(launching.process_of(self.folder / "r", "worker", 1), signal.SIGKILL)

        code, _, error = self.end(launcher, seconds=10)
        self.assertEqual(code, 3)
        self.assertIn("worker 1 was killed", error)

    def test_an_end_without_a_summary_is_not_success(self):
        done = self.run_job(no_summary=True)

        self.assertEqual(done.returncode, 3)
        self.assertIn("no summary.json", done.stderr)

    def test_a_process_that_outlives_the_coordinator_is_named_and_no_success(self):
        done = self.run_job(steps=40, who="worker-1", at_step=1, misfortune="hang")

        self.assertEqual(done.returncode, 3)
        self.assertIn("worker 1 did not end within 10 s", done.stderr)
