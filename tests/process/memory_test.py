"""A server takes the memory that `doctor` and `--dry-run` say: within 10 % of the sum at its peak."""

import re
import time

import launching
from process_case import JOB, ProcessTest

MIB = 1 << 20
UNITS = {"MiB": MIB, "GiB": 1 << 30}
RUNS = 4
TOLERANCE = 0.10
# A middle layer of 64 MiB, so that code and libraries do not count; little arithmetic.
WIDE = """
[[layer]]
kind = "dense"
units = 4096
activation = "relu"
[[layer]]
kind = "dense"
units = 4096
activation = "relu"
"""


def peak_bytes(pid):
    """The most that was ever resident; None: the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read(), re.M)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(found.group(1)) * 1024 if found else None


class Memory(ProcessTest):
    def setUp(self):
        super().setUp()
        text = JOB.format(data=self.data)
        first = text.index("[[layer]]")
        last = text.rindex("[[layer]]")
        text = text[:first] + WIDE.lstrip() + text[last:]
        text = text.replace("unit_bytes = 1024\n", "")
        self.job.write_text(text)

    def promised_bytes(self, *settings):
        done = launching.run("run", self.job, "--dry-run", *self.settings(*settings),
                             cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        line = re.search(r"^memory of a server .*", done.stdout, re.M).group(0)
        value, unit = re.search(r"= ([\d.]+) (MiB|GiB)$", line).groups()
        return float(value) * UNITS[unit], line

    def measured_bytes(self, servers, run_dir, *settings):
        """Runs the job to its end -> the peak of the server that took most."""
        launcher = self.start(*settings, run_dir=run_dir)
        self.wait_for_step(launcher, 1, run_dir)
        pids = [self.pid_of("server", server, run_dir) for server in range(servers)]
        peaks = [0]
        while (now := [peak_bytes(pid) for pid in pids]) and all(now):
            peaks = now
            time.sleep(0.01)
        code, error = self.end(launcher, seconds=60)
        self.assertEqual(code, 0, error)
        return max(peaks)

    def least_peak(self, servers, name, settings, enough):
        """A busy machine delays the transport, which then holds frames beside the server's own
        memory: the least peak of up to RUNS runs counts."""
        peaks = []
        for run in range(RUNS):
            peaks.append(self.measured_bytes(servers, f"{name}-{run}", *settings))
            if peaks[-1] < enough:
                break
        return min(peaks)

    def test_a_server_takes_what_the_sum_says(self):
        for mode, servers, workers, lanes, optimizer in (
                ("sync", 1, 2, 2, "adam"), ("sync", 1, 1, 4, "sgd"),
                ("async", 1, 2, 2, "adam"), ("async", 2, 2, 2, "sgd"),
                ("async", 1, 2, 8, "sgd")):
            settings = (f"train.mode={mode}", f"cluster.servers={servers}",
                        f"cluster.workers={workers}", f"train.lanes={lanes}",
                        f"train.optimizer.kind={optimizer}", "train.max_steps=22",
                        "train.batch=16")
            with self.subTest(mode=mode, servers=servers, workers=workers, lanes=lanes,
                              optimizer=optimizer):
                promised, line = self.promised_bytes(*settings)
                measured = self.least_peak(servers, f"{mode}-{servers}-{workers}-{lanes}", settings,
                                           (1 + TOLERANCE) * promised)
                print(f"{mode}, {servers} servers, {workers} workers, {lanes} lanes, {optimizer}: "
                      f"{measured / MIB:.0f} MiB of {line} -> {measured / promised:.2f}")
                self.assertGreater(measured, (1 - TOLERANCE) * promised)
                self.assertLess(measured, (1 + TOLERANCE) * promised)
