"""What the launcher's tests share: a folder with fake programs, jobs, launchers in the background."""

import json
import os
import pathlib
import shutil
import signal
import tempfile
import time
import unittest

import launching

FAKE = pathlib.Path(__file__).resolve().parent / "fake_programs.py"
LONG = 10_000  # steps: more than a test waits for


class LauncherTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-test-"))
        self.bin_dir = self.folder / "bin"
        self.bin_dir.mkdir()
        for name in ("tool", "coordinator", "server", "worker", "feeder"):
            shutil.copy(FAKE, self.bin_dir / f"ballast-{name}")
        self.started = []

    def tearDown(self):
        for launcher in self.started:
            launcher.kill()
            launcher.communicate()
        deadline = time.monotonic() + (5 if self.started else 0)
        while launching.processes_of(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)  # for the kernel to end the children of a launcher killed just now
        left = launching.processes_of(self.folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)
        self.assertFalse(left, "the launcher left processes behind")

    def write_job(self, **fake):
        lines = [f"{key} = {json.dumps(value)}" for key, value in fake.items()]
        job = self.folder / "job.toml"
        job.write_text('[job]\nname = "toy"\n[data]\ntest = "t"\n[cluster]\nservers = 2\n'
                       "workers = 2\n[fake]\n" + "\n".join(lines) + "\n")
        return job

    def words(self, *words):
        return ("--bin-dir", self.bin_dir, *words)

    def run_launcher(self, *words):
        return launching.run(*self.words(*words), cwd=self.folder)

    def run_job(self, *words, **fake):
        return self.run_launcher("run", self.write_job(**fake), "--run-dir", "r", *words)

    def start_job(self, **fake):
        """A long job in the background, known to be at step 1 at least unless it is untrained."""
        fake.setdefault("steps", LONG)
        launcher = launching.start(*self.words("run", self.write_job(**fake), "--run-dir", "r"),
                                   cwd=self.folder)
        self.started.append(launcher)
        step = 0 if fake.get("untrained") else 1
        launching.wait_until(lambda: self.status().get("step", -1) >= step, f"step {step}")
        launching.wait_until(lambda: len(launching.processes_of(self.folder / "r")) == 5,
                             "five processes")
        return launcher

    def status(self):
        path = self.folder / "r/status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def end(self, launcher, seconds=15):
        """-> (exit code, stdout, stderr)"""
        out, error = launcher.communicate(timeout=seconds)
        return launcher.returncode, out, error
