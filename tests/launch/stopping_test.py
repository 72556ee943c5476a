"""Ctrl-C once and twice, SIGTERM, and kill -9 of the launcher itself."""

import os
import shutil
import signal

import launching
from launcher_case import LauncherTest


class Stopping(LauncherTest):
    def test_one_request_writes_a_checkpoint_and_exits_with_75(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                launcher = self.start_job()

                launcher.send_signal(number)

                code, _, error = self.end(launcher)
                self.assertEqual(code, 75)
                self.assertIn("ballast: stopped on request\n  last checkpoint: ", error)
                self.assertTrue(launching.last_line(error).endswith("run --resume r"), error)

    def test_one_request_before_the_first_step_says_so_and_how_to_run_again(self):
        for unready in (False, True):
            with self.subTest(unready=unready):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                launcher = self.start_job(untrained=True, unready=unready)

                launcher.send_signal(signal.SIGINT)

                code, _, error = self.end(launcher)
                self.assertEqual(code, 130)
                self.assertIn("stopped on request before the first step: nothing was trained\n"
                              "  no checkpoint was written\n", error)
                self.assertIn(" run ", launching.last_line(error))
                self.assertTrue(launching.last_line(error).endswith("--run-dir r-2"), error)

    def test_one_request_before_a_resumed_job_trains_leaves_its_checkpoint_to_resume(self):
        for unready in (False, True):
            with self.subTest(unready=unready):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                launcher = self.start_job(untrained=True, unready=unready)
                manifest = self.folder / "r/checkpoints/00000000000000000007/manifest"
                manifest.parent.mkdir(parents=True)  # as an earlier start would have left it
                manifest.write_text("whole")

                launcher.send_signal(signal.SIGINT)

                code, _, error = self.end(launcher)
                self.assertEqual(code, 75)
                self.assertTrue(launching.last_line(error).endswith("run --resume r"), error)

    def test_two_requests_kill_at_once_and_exit_with_130(self):
        launcher = self.start_job(deaf=True)

        launcher.send_signal(signal.SIGINT)
        launching.wait_until(lambda: "stopping" in launcher.stdout.readline(), "the first is told")
        launcher.send_signal(signal.SIGINT)

        code, _, error = self.end(launcher, seconds=3)
        self.assertEqual(code, 130)
        self.assertIn("stopped at once", error)

    def test_kill_9_of_the_launcher_leaves_no_process(self):
        launcher = self.start_job()

        launcher.kill()

        launching.wait_until(lambda: not launching.processes_of(self.folder / "r"),
                             "every child is dead", seconds=5)

    def test_a_process_killed_while_stopping_is_a_failure(self):
        launcher = self.start_job(deaf=True)

        launcher.send_signal(signal.SIGINT)
        launching.wait_until(lambda: "stopping" in launcher.stdout.readline(), "it is told")
        os.kill(launching.process_of(self.folder / "r", "server", 0), signal.SIGKILL)

        code, _, error = self.end(launcher)
        self.assertEqual(code, 3)
        self.assertIn("server 0 was killed by signal 9", error)
