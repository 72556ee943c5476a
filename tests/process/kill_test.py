"""kill -9 of any process at any time: an end within 10 s, one message, nothing left."""

import contextlib
import os
import random
import signal
import time

import launching
from process_case import LONG, ProcessTest

ROLES = (("coordinator", 0), ("server", 0), ("server", 1), ("worker", 0), ("worker", 1))
END_S = 10
# Its last step is no checkpoint of its own: the end writes one.
SHORT, SHORT_STEPS = "train.epochs=2", 64


def name_of(role, index):
    return role if role == "coordinator" else f"{role} {index}"


class Kill(ProcessTest):
    def kill_and_check(self, launcher, role, index, run_dir):
        os.kill(self.pid_of(role, index, run_dir), signal.SIGKILL)
        killed_at = time.monotonic()

        code, error = self.end(launcher, seconds=END_S)

        self.assertLess(time.monotonic() - killed_at, END_S)
        self.assertEqual(code, 3, error)
        self.assertIn(f"ballast: {name_of(role, index)} was killed by signal 9", error)
        self.assertFalse(launching.processes_of(self.folder / run_dir))
        return error

    def test_the_message_names_process_step_and_the_command_to_resume(self):
        for role, index in ROLES:
            with self.subTest(process=name_of(role, index)):
                run_dir = f"{role}-{index}"
                launcher = self.start(LONG, run_dir=run_dir)
                self.wait_for_checkpoint(launcher, run_dir)
                self.wait_for_step(launcher, 1, run_dir)

                error = self.kill_and_check(launcher, role, index, run_dir)

                self.assertRegex(error, r"last step \d+")
                self.assertRegex(error, r"last checkpoint: \d+")
                self.assertTrue(launching.last_line(error).endswith(f"run --resume {run_dir}"))

    def test_any_moment_will_do(self):
        chooser = random.Random(20240229)
        for attempt in range(6):
            role, index = chooser.choice(ROLES)
            patience_s = chooser.uniform(0, 1.5)
            with self.subTest(process=name_of(role, index), seconds=patience_s):
                run_dir = f"moment-{attempt}"
                launcher = self.start(LONG, run_dir=run_dir)
                self.wait(launcher,
                          lambda: len(launching.processes_of(self.folder / run_dir)) == 5,
                          "five processes")
                time.sleep(patience_s)  # the moment itself is what is tried

                self.kill_and_check(launcher, role, index, run_dir)

    def start_stuck(self, fifo):
        """A short job that stands still where it opens this file: nobody reads from it."""
        launcher = self.start(SHORT)
        self.wait(launcher, (self.folder / "r/config.toml").exists, "the run directory")
        fifo.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(fifo)
        return launcher

    def resume_to_the_bits_of(self, undisturbed, fifo):
        fifo.unlink()
        done = self.resume()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary()["weights_xxh3"], undisturbed["weights_xxh3"])

    def test_a_server_killed_in_the_final_checkpoint_is_resumed_to_the_same_bits(self):
        undisturbed = self.finish(SHORT, run_dir="undisturbed")
        fifo = self.folder / f"r/checkpoints/{SHORT_STEPS:020}/part-0.blp.tmp"
        launcher = self.start_stuck(fifo)
        self.wait(launcher, lambda: self.status().get("state") == "final-checkpoint",
                  "the final checkpoint")

        error = self.kill_and_check(launcher, "server", 0, "r")

        self.assertIn(f"last step {SHORT_STEPS}", error)
        self.assertIn(f"last checkpoint: {SHORT_STEPS // 10 * 10} ", error)
        self.assertFalse(self.is_done(), "a job without its end passes for a whole one")
        self.resume_to_the_bits_of(undisturbed, fifo)

    def test_a_coordinator_killed_in_the_export_is_resumed_to_the_same_bits(self):
        undisturbed = self.finish(SHORT, run_dir="undisturbed")
        fifo = self.folder / "r/model.safetensors.tmp"
        launcher = self.start_stuck(fifo)
        self.wait(launcher, lambda: self.status().get("state") == "ended", "the export")

        error = self.kill_and_check(launcher, "coordinator", 0, "r")

        self.assertIn(f"last checkpoint: {SHORT_STEPS} ", error)
        self.assertFalse(self.is_done(), "a job without its end passes for a whole one")
        self.resume_to_the_bits_of(undisturbed, fifo)

    def test_a_coordinator_whose_disk_fails_tells_everybody_before_it_ends(self):
        launcher = self.start(LONG)
        self.wait_for_step(launcher, 1)
        status = self.folder / "r/status.json"

        def make_unwritable():  # a folder in the way of the file, which is replaced once a second
            status.unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                status.mkdir()
            return status.is_dir()
        self.wait(launcher, make_unwritable, "the file is in the way")

        code, error = self.end(launcher, seconds=END_S)

        self.assertEqual(code, 3, error)
        self.assertIn("status.json", error)
        for name in ("worker-0", "worker-1", "server-0", "server-1"):
            log = (self.folder / f"r/logs/{name}.log").read_text()
            self.assertRegex(log, r"the job failed elsewhere: cannot replace status\.json")

    def test_kill_9_of_the_launcher_leaves_no_process(self):
        launcher = self.start(LONG)
        self.wait_for_step(launcher, 1)

        launcher.kill()

        launching.wait_until(lambda: not launching.processes_of(self.folder / "r"),
                             "every process is dead", seconds=5)
