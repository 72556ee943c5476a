"""A job that ends well, and one that cannot start."""

import os
import pty
import subprocess

import launching
from launcher_case import LauncherTest


class Running(LauncherTest):
    def test_a_job_that_ends_well_prints_its_result_and_exits_with_0(self):
        done = self.run_job()

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("test_accuracy 0.97", done.stdout)
        self.assertIn("0123456789abcdef", done.stdout)
        self.assertEqual(launching.last_line(done.stdout), "run directory: r")

    def test_the_run_directory_is_new_named_by_job_and_time_and_private(self):
        job = self.write_job()

        for _ in range(2):
            self.assertEqual(self.run_launcher("run", job, "--quiet").returncode, 0)

        runs = list((self.folder / "runs/toy").iterdir())
        self.assertEqual(len(runs), 2)
        self.assertTrue(all(run.stat().st_mode & 0o777 == 0o700 for run in runs))

    def test_settings_reach_the_tool_and_the_number_of_processes(self):
        done = self.run_job("--set", "cluster.workers=3", "--set", "cluster.servers=1")

        self.assertEqual(done.returncode, 0, done.stderr)
        outputs = sorted(path.name for path in (self.folder / "r/logs").glob("*.out"))
        self.assertEqual(outputs, ["coordinator-0.out", "server-0.out", "worker-0.out",
                                   "worker-1.out", "worker-2.out"])

    def test_a_used_run_directory_is_refused_and_left_as_it_was(self):
        (self.folder / "r").mkdir()
        (self.folder / "r/mine").write_text("x")

        done = self.run_job()

        self.assertEqual(done.returncode, 2)
        self.assertIn("r is not empty", done.stderr)
        self.assertEqual(os.listdir(self.folder / "r"), ["mine"])

    def test_a_refused_job_passes_on_code_and_words_of_the_tool_and_leaves_no_folder(self):
        done = self.run_job(refuse="job.toml:3: trian.epochs: unknown key")

        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "job.toml:3: trian.epochs: unknown key\n")
        self.assertFalse((self.folder / "r").exists())

    def test_a_refused_job_takes_the_folders_with_it_that_it_made_and_no_other(self):
        job = self.write_job(refuse="no")
        (self.folder / "mine").mkdir()

        self.run_launcher("run", job)
        self.run_launcher("run", job, "--run-dir", "mine")

        self.assertFalse((self.folder / "runs").exists())
        self.assertEqual(os.listdir(self.folder / "mine"), [])

    def test_what_is_no_job_file_is_told_in_one_line_and_not_read(self):
        (self.folder / "old").mkdir()
        (self.folder / "old/config.toml").write_text("")
        with open(self.folder / "huge", "wb") as huge:
            huge.truncate(1 << 40)

        for path, words in ((self.folder, "a folder; expected a job file"),
                            (self.folder / "old", "run --resume"),
                            ("/dev/zero", "not a regular file; expected a job file"),
                            (self.folder / "huge", "expected a job file in TOML of at most")):
            for more in ((), ("--dry-run",)):
                with self.subTest(path=path, more=more):
                    done = self.run_launcher("run", path, *more)

                    self.assertEqual(done.returncode, 2)
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    self.assertIn(words, done.stderr)
        self.assertFalse((self.folder / "runs").exists())

    def test_a_file_in_the_place_of_the_run_directory_is_told_and_left_alone(self):
        (self.folder / "file").write_text("mine")

        done = self.run_launcher("run", self.write_job(), "--run-dir", "file")

        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "ballast: run directory file: a file of that name found; "
                         "expected a new or empty folder: choose another --run-dir\n")
        self.assertEqual((self.folder / "file").read_text(), "mine")

    def test_a_run_that_has_ended_keeps_neither_lock_nor_sockets(self):
        self.run_job("--quiet")

        left = os.listdir(self.folder / "r")
        self.assertNotIn("launch.lock", left)
        self.assertNotIn("sockets", left)

    def test_quiet_prints_only_the_result(self):
        done = self.run_job("--quiet")

        self.assertTrue(done.stdout.startswith("done: sync, 3 steps"), done.stdout)
        self.assertEqual(done.stderr, "")

    def test_output_that_is_not_a_terminal_is_plain_lines(self):
        done = self.run_job()

        self.assertNotIn("\x1b", done.stdout)
        self.assertRegex(done.stdout, r"running  epoch 1/1  step \d/3  loss 0\.5  "
                         r"1,234 samples/s  staleness 0\.25\n")
        self.assertIn("evaluation  epoch 1  step 3  train_loss 0.5  test_accuracy 0.97",
                      done.stdout)

    def test_a_terminal_gets_a_live_bar_and_the_result_below_it(self):
        try:
            screen, terminal = pty.openpty()
        except OSError as failure:  # a chroot without /dev/pts
            self.skipTest(f"no pseudo terminal: {failure}")
        job = self.write_job(steps=30)
        environment = dict(os.environ, TERM="xterm", COLUMNS="160")
        launcher = subprocess.Popen(
            [str(launching.BALLAST), "--bin-dir", str(self.bin_dir), "run", str(job)],
            cwd=self.folder, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
        self.started.append(launcher)
        os.close(terminal)

        shown = b""
        try:
            while chunk := os.read(screen, 65536):
                shown += chunk
        except OSError:  # the other side is closed
            pass
        os.close(screen)

        self.assertEqual(launcher.wait(10), 0)
        self.assertIn(b"samples/s", shown)
        self.assertIn(b"\x1b[", shown)
        self.assertIn(b"done: sync, 30 steps", shown.split(b"\x1b[")[-1])

    def test_a_reader_that_goes_away_does_not_end_the_job(self):
        launcher = self.start_job(steps=50)

        launcher.stdout.close()
        launcher.stdout = None

        self.assertEqual(self.end(launcher)[0], 0)
        self.assertTrue((self.folder / "r/summary.json").exists())

    def test_a_program_that_is_not_built_is_named_before_anything_is_made(self):
        for program in ("ballast-feeder", "ballast-worker"):  # the first that is missing is named
            with self.subTest(program=program):
                (self.bin_dir / program).unlink()

                done = self.run_job()

                self.assertEqual(done.returncode, 2)
                self.assertIn(f"{program} is not in", done.stderr)
                self.assertFalse((self.folder / "r").exists())

    def test_a_folder_that_cannot_be_written_is_one_line_without_a_traceback(self):
        (self.folder / "file").write_text("")

        done = self.run_launcher("run", self.write_job(), "--run-dir", "file/r")

        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("cannot create run directory file/r", done.stderr)
