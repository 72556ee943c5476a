"""What the process tests share: the real programs, the digits in chunk files, jobs of a few seconds.

A test here starts jobs as a user does, through launch/ballast. Each checks at its end that no
process of the job is left.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import time
import unittest

import launching
from ballast_launcher.run import PROGRAMS
from launching import ROOT

BIN_DIR = ROOT / "build/release/bin"
LONG = "train.epochs=100000"  # more than any test waits for

JOB = """
[job]
name = "process-test"
seed = 7
[data]
train = "{data}/train"
test = "{data}/test"
features = ["pixels"]
label = "label"
[[data.transform]]
kind = "scale"
column = "pixels"
factor = 0.0625
[model]
loss = "softmax_cross_entropy"
[[layer]]
kind = "dense"
units = 32
activation = "relu"
[[layer]]
kind = "dropout"
rate = 0.1
[[layer]]
kind = "dense"
units = 10
[train]
mode = "sync"
epochs = 4
batch = 120
lanes = 4
[train.optimizer]
kind = "adam"
learning_rate = 2e-3
[cluster]
servers = 2
workers = 2
# Many small units, so that every shard has some.
unit_bytes = 1024
[checkpoint]
every_steps = 10
"""


def peak_bytes(pid):
    """The most that was ever resident; 0: the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read(), re.M)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found.group(1)) * 1024 if found else 0


def missing_program():
    return next((name for name in PROGRAMS if not (BIN_DIR / name).is_file()), None)


def convert(source, folder, *options):
    return launching.run("data", "convert", "--format", "csv", source, "--out", folder,
                         "--features", "pixels", *(options or ("--features-type", "u8")),
                         cwd=ROOT)


# 32 blocks of 120 rows in 5 chunks: a lane's run has more than its window.
SMALL_BLOCKS = ("--features-type", "u8", "--block-kib", "8", "--chunk-mib", "1")


class ProcessTest(unittest.TestCase):
    """Skipped, naming it, while a program is not built."""

    train_options = ()  # of the conversion of the training set

    @classmethod
    def setUpClass(cls):
        missing = missing_program()
        if missing:
            raise unittest.SkipTest(f"{missing} is not in {BIN_DIR.relative_to(ROOT)}")
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="ballast-process-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.data = cls.shared / "digits"
        for source, name, options in (("optdigits.tra.gz", "train", cls.train_options),
                                      ("optdigits.tes.gz", "test", ())):
            done = convert(ROOT / "tests/data" / source, cls.data / name, *options)
            if done.returncode != 0:
                raise AssertionError(done.stderr)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.shared))
        self.started = []
        self.job = self.folder / "job.toml"
        self.job.write_text(JOB.format(data=self.data))

    def tearDown(self):
        for launcher in self.started:
            if launcher.poll() is None:
                launcher.kill()
                launching.wait_until(lambda: not launching.processes_of(self.folder),
                                     "the children of a killed launcher are dead", seconds=5)
            if not launcher.stdout.closed:
                launcher.communicate()
        left = launching.processes_of(self.folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertFalse(left, "processes were left behind")

    def settings(self, *settings):
        return [word for setting in settings for word in ("--set", setting)]

    def run_job(self, *settings, run_dir="r", timeout=120, prefix=()):
        return launching.run("run", self.job, "--run-dir", run_dir, "--quiet",
                             *self.settings(*settings), cwd=self.folder, timeout=timeout,
                             prefix=prefix)

    def resume(self, *settings, run_dir="r"):
        return launching.run("run", "--resume", run_dir, "--quiet", *self.settings(*settings),
                             cwd=self.folder, timeout=120)

    def finish(self, *settings, run_dir="r"):
        """Runs the job to its end -> its summary."""
        done = self.run_job(*settings, run_dir=run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.summary(run_dir)

    def start(self, *settings, run_dir="r", prefix=()):
        launcher = launching.start("run", self.job, "--run-dir", run_dir,
                                   *self.settings(*settings), cwd=self.folder, prefix=prefix)
        self.started.append(launcher)
        return launcher

    def end(self, launcher, seconds):
        """-> (exit code, stderr)"""
        _, error = launcher.communicate(timeout=seconds)
        return launcher.returncode, error

    def summary(self, run_dir="r"):
        return json.loads((self.folder / run_dir / "summary.json").read_text())

    def is_done(self, run_dir="r"):
        path = self.folder / run_dir / "summary.json"
        return path.exists() and not json.loads(path.read_text()).get("stopped")

    def status(self, run_dir="r"):
        path = self.folder / run_dir / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def wait(self, launcher, condition, what, seconds=30):
        return launching.wait_until(condition, what, seconds, launcher)

    def wait_for_step(self, launcher, step, run_dir="r"):
        self.wait(launcher, lambda: self.status(run_dir).get("step", 0) >= step, f"step {step}")

    def wait_for_checkpoint(self, launcher, run_dir="r"):
        pattern = "checkpoints/*/manifest"
        self.wait(launcher, lambda: list((self.folder / run_dir).glob(pattern)), "a checkpoint")

    def peak_of(self, role, count, run_dir, *settings):
        """Runs the job to its end -> the peak of whichever of `count` took most. Watched from the first
        moment, since a job may be over soon; what has begun to end keeps its peak."""
        launcher = self.start(*settings, run_dir=run_dir)
        folder, pids, peak = self.folder / run_dir, set(), 0
        while launcher.poll() is None:
            if len(pids) < count:
                pids |= {pid for pid, words in launching.processes_of(folder).items()
                         if f"ballast-{role} " in words}
            peak = max([peak, *map(peak_bytes, pids)])
            time.sleep(0.01)
        code, error = self.end(launcher, seconds=60)
        self.assertEqual(code, 0, error)
        self.assertGreater(peak, 0, f"no {role} was seen")
        return peak

    def pid_of(self, role, index=0, run_dir="r"):
        return launching.process_of(self.folder / run_dir, role, index)
