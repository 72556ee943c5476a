"""--resume: what it keeps, what it forgets, what it refuses."""

import json
import signal

import launching
from launcher_case import LONG, LauncherTest


class Resuming(LauncherTest):
    def test_a_resume_keeps_the_settings_and_forgets_the_old_failure(self):
        self.run_job("--set", "train.mode=async", steps=LONG, checkpoint_at=2, who="worker-1",
                     at_step=9, misfortune="report")

        done = self.run_launcher("run", "--resume", "r", "--set", "fake.who=nobody",
                                 "--set", "fake.steps=4")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("done: async, 4 steps", done.stdout)
        called = json.loads((self.folder / "r/called.json").read_text())
        run_dir = str(self.folder / "r")
        self.assertEqual(called[:5], ["resolve", "--run-dir", run_dir, "--resume", run_dir])

    def test_a_stopped_job_goes_on_to_its_end(self):
        launcher = self.start_job()
        launcher.send_signal(signal.SIGINT)
        self.assertEqual(self.end(launcher)[0], 75)

        done = self.run_launcher("run", "--resume", "r", "--set", "fake.steps=2")

        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_folder_without_a_checkpoint_cannot_be_resumed(self):
        self.run_job(steps=LONG, who="worker-1", at_step=2, misfortune="kill")

        done = self.run_launcher("run", "--resume", "r")

        self.assertEqual(done.returncode, 2)
        self.assertIn("it holds no checkpoint", done.stderr)

    def test_a_run_that_is_going_on_cannot_be_resumed(self):
        self.start_job(checkpoint_at=1)
        launching.wait_until(lambda: list((self.folder / "r").glob("checkpoints/*/manifest")),
                             "a checkpoint")

        done = self.run_launcher("run", "--resume", "r")

        self.assertEqual(done.returncode, 2)
        self.assertIn("its run is going on", done.stderr)

    def test_a_run_that_is_going_on_is_told_so_even_without_a_checkpoint(self):
        self.start_job()

        done = self.run_launcher("run", "--resume", "r")

        self.assertEqual(done.returncode, 2)
        self.assertIn("r is in use: its run is going on", done.stderr)

    def test_a_dry_run_of_a_resume_starts_and_changes_nothing(self):
        self.run_job("--quiet")
        before = sorted(path.stat().st_mtime_ns for path in (self.folder / "r").iterdir())

        done = self.run_launcher("run", "--resume", "r", "--dry-run")

        self.assertEqual((done.returncode, done.stdout), (0, "shapes\n"), done.stderr)
        after = sorted(path.stat().st_mtime_ns for path in (self.folder / "r").iterdir())
        self.assertEqual(after, before)

    def test_a_resume_does_not_read_the_state_of_the_last_coordinator(self):
        self.run_job("--quiet")
        (self.folder / "r/coordinator.state").write_text("")  # as a full disk leaves it

        self.run_launcher("run", "--resume", "r", "--set", "fake.steps=4")

        self.assertFalse((self.folder / "r/coordinator.state").exists())

    def test_a_refused_resume_leaves_the_folder_as_it_was(self):
        self.run_job("--quiet")

        done = self.run_launcher("run", "--resume", "r", "--set", "fake.refuse=no")

        self.assertEqual((done.returncode, done.stderr), (2, "no\n"))
        self.assertTrue((self.folder / "r/summary.json").exists())

    def test_a_job_file_beside_a_resume_is_handed_to_the_tool_that_compares_it(self):
        self.run_job("--quiet")

        self.run_launcher("run", self.folder / "job.toml", "--resume", "r")

        called = json.loads((self.folder / "r/called.json").read_text())
        self.assertEqual(called[:2], ["resolve", str(self.folder / "job.toml")])
        self.assertIn("--resume", called)
