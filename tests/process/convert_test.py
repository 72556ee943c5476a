"""data convert as a user starts it: killed in the middle it goes on, and nobody converts into a
folder where another one does."""

import signal

import launching
from process_case import ProcessTest

ROWS = 1_000_000  # in 21 pieces
OPTIONS = ("--chunk-mib", "1", "--threads", "1")
TRIES = 5  # a conversion may end before it is killed


class Convert(ProcessTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = cls.shared / "rows.csv"
        with cls.rows.open("w") as file:
            file.writelines(f"{i},{i * 7 % 1000},{i / 8},{i % 10}\n" for i in range(ROWS))

    def words(self, out):
        return ("data", "convert", "--format", "csv", self.rows, "--out", out, *OPTIONS)

    def convert(self, out):
        return launching.run(*self.words(out), cwd=self.folder)

    def start_convert(self, out):
        """Returns when a piece of it is finished."""
        launcher = launching.start(*self.words(out), cwd=self.folder)
        self.started.append(launcher)
        state = self.folder / out / "convert.state"
        launching.wait_until(lambda: launcher.poll() is not None or
                             (state.is_file() and b" piece " in state.read_bytes()),
                             "a finished piece")
        return launcher

    def files(self, out):
        return {path.name: path.read_bytes() for path in (self.folder / out).iterdir()}

    def killed(self, out):
        """Whether it was killed in the middle."""
        launcher = self.start_convert(out)
        launcher.send_signal(signal.SIGKILL)
        launcher.communicate()
        return launcher.returncode == -signal.SIGKILL

    def test_one_that_is_killed_goes_on_to_the_same_rows(self):
        self.assertEqual(self.convert("whole").returncode, 0)
        out = next((out for out in (f"out-{i}" for i in range(TRIES)) if self.killed(out)), None)
        self.assertTrue(out, f"{TRIES} conversions ended before they were killed")
        self.assertFalse((self.folder / out / "manifest").exists())

        done = self.convert(out)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"out-\d: goes on; [1-9]\d* of \d+ pieces were finished before")
        self.assertEqual(self.files(out), self.files("whole"))
        verified = launching.run("data", "verify", out, cwd=self.folder)
        self.assertIn(f"{ROWS} rows", verified.stdout)

    def test_two_into_one_folder_are_refused(self):
        first = self.start_convert("out")
        first.send_signal(signal.SIGSTOP)
        self.assertIsNone(first.poll(), "it ended before it was stopped")

        second = self.convert("out")

        self.assertEqual(second.stderr,
                         "ballast-tool: out: another conversion into it runs; wait for its end\n")
        self.assertNotEqual(second.returncode, 0)
        first.send_signal(signal.SIGCONT)
        self.assertEqual(first.wait(60), 0)
        self.assertEqual(self.convert("whole").returncode, 0)
        self.assertEqual(self.files("out"), self.files("whole"))
        third = self.convert("out")
        self.assertEqual(third.returncode, 2)
        self.assertIn("out already holds a data set: choose another folder", third.stderr)
