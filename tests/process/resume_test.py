"""A job that was killed or stopped goes on from its checkpoint; in sync to the same bits."""

import os
import signal

import launching
from process_case import BIN_DIR, LONG, PROGRAMS, ProcessTest

# A stop after a fixed number of epochs, not of LONG ones: the end is compared.
EPOCHS = "train.epochs=60"


class Resume(ProcessTest):
    def interrupt(self, role=None, index=0, settings=()):
        """Starts the job and kills a process, or asks it to stop, after the first checkpoint."""
        launcher = self.start(EPOCHS, *settings)
        self.wait_for_checkpoint(launcher)
        if role:
            os.kill(self.pid_of(role, index), signal.SIGKILL)
        else:
            launcher.send_signal(signal.SIGINT)
        code, error = self.end(launcher, seconds=20)
        self.assertEqual(code, 3 if role else 75, error)
        self.assertFalse(self.is_done(), "a job cut short passes for a whole one")
        return error

    def test_sync_after_a_kill_ends_in_the_bits_of_an_undisturbed_run(self):
        undisturbed = self.finish(EPOCHS, run_dir="undisturbed")
        self.interrupt("server", 1)

        done = self.resume()

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary()["weights_xxh3"], undisturbed["weights_xxh3"])

    def test_sync_resumes_with_other_servers_and_workers_to_the_same_bits(self):
        undisturbed = self.finish(EPOCHS, run_dir="undisturbed")
        self.interrupt("worker", 0)

        done = self.resume("cluster.servers=3", "cluster.workers=1")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary()["weights_xxh3"], undisturbed["weights_xxh3"])

    def test_ctrl_c_writes_a_checkpoint_that_resumes_to_the_same_bits(self):
        undisturbed = self.finish(EPOCHS, run_dir="undisturbed")
        error = self.interrupt()
        self.assertTrue(launching.last_line(error).endswith("run --resume r"), error)

        done = self.resume()

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary()["weights_xxh3"], undisturbed["weights_xxh3"])

    def test_async_and_ssp_go_on_to_the_end_after_a_kill(self):
        for mode in ("async", "ssp"):
            with self.subTest(mode=mode):
                self.interrupt("coordinator", settings=(f"train.mode={mode}",))

                done = self.resume()

                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(self.summary()["mode"], mode)
                self.assertGreater(self.summary()["metrics"]["test_accuracy"], 0.9)
                (self.folder / "r").rename(self.folder / f"done-{mode}")

    def test_ctrl_c_before_the_workers_have_joined_says_that_nothing_was_trained(self):
        programs = self.folder / "bin"
        programs.mkdir()
        for program in PROGRAMS:
            (programs / program).symlink_to(BIN_DIR / program)
        (programs / "ballast-worker").unlink()
        (programs / "ballast-worker").write_text("#!/bin/sh\nexec sleep 60\n")
        (programs / "ballast-worker").chmod(0o700)
        launcher = launching.start("--bin-dir", programs, "run", self.job, "--run-dir", "r",
                                   cwd=self.folder)
        self.started.append(launcher)
        self.wait(launcher, lambda: self.status().get("state") == "joining", "the servers alone")

        launcher.send_signal(signal.SIGINT)

        code, error = self.end(launcher, seconds=10)
        self.assertEqual(code, 130, error)
        self.assertIn("stopped on request before the first step: nothing was trained", error)
        self.assertTrue(launching.last_line(error).endswith("--run-dir r-2"), error)

    def test_a_second_ctrl_c_stops_now(self):
        launcher = self.start(LONG)
        self.wait_for_step(launcher, 1)

        os.kill(self.pid_of("coordinator"), signal.SIGSTOP)  # so that the first finds no answer
        launcher.send_signal(signal.SIGINT)
        launching.wait_until(lambda: "stopping" in launcher.stdout.readline(), "the first is told")
        launcher.send_signal(signal.SIGINT)

        code, error = self.end(launcher, seconds=5)
        self.assertEqual(code, 130, error)

    def test_another_job_is_refused_at_resume_and_the_keys_are_named(self):
        self.interrupt("worker", 1)

        done = self.resume("train.batch=60")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("train.batch", done.stderr)

    def test_a_job_file_that_is_not_the_runs_own_is_refused_by_every_command(self):
        self.finish("train.epochs=1")
        other = self.folder / "other.toml"
        other.write_text(self.job.read_text().replace("seed = 7", "seed = 8"))
        absent = self.folder / "absent.toml"

        for words in (("run",), ("run", "--dry-run"), ("doctor",)):
            for job, found in ((other, "not the job of"), (absent, "no such file")):
                with self.subTest(words=words, job=job.name):
                    done = launching.run(*words, job, "--resume", "r", cwd=self.folder)

                    self.assertEqual(done.returncode, 2, done.stderr)
                    told = done.stdout + done.stderr
                    self.assertIn(f"{job.name}: {found}", told)
                    self.assertIn("change keys with --set", told)
