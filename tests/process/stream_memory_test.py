"""A data set four times larger than data.memory_mib trains in the memory that the plan says."""

import random
import re
import shutil
import statistics

import launching
from process_case import ProcessTest, ROOT

MIB = 1 << 20
ROWS = 100_000
WIDTH = 100  # f32: 40 MB
MEMORY_MIB = 10
EPOCHS = 6
RUNS = 3
TOLERANCE = 0.10


class StreamMemory(ProcessTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.rmtree(cls.data)
        draw = random.Random(1)
        pool = [",".join(str(draw.randrange(10)) for _ in range(WIDTH)) for _ in range(1000)]
        for name, rows in (("train", ROWS), ("test", 1000)):
            source = cls.shared / f"{name}.csv"
            source.write_text("".join(f"{pool[row % 1000]},{row % 10}\n" for row in range(rows)))
            done = launching.run("data", "convert", "--format", "csv", source, "--out",
                                 cls.data / name, "--features", "pixels", "--features-type", "f32",
                                 "--block-kib", "256", cwd=ROOT)
            source.unlink()
            if done.returncode != 0:
                raise AssertionError(done.stderr)

    def promised_bytes(self, *settings):
        done = launching.run("run", self.job, "--dry-run", *self.settings(*settings),
                             cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        line = re.search(r"^memory of a worker .*", done.stdout, re.M).group(0)
        return float(re.search(r"= ([\d.]+) MiB$", line).group(1)) * MIB, line

    def test_a_worker_takes_what_the_plan_says(self):
        settings = (f"data.memory_mib={MEMORY_MIB}", f"train.epochs={EPOCHS}", "train.batch=128",
                    "train.lanes=2")
        promised, line = self.promised_bytes(*settings)
        self.assertIn("blocks of train rows", line)
        self.assertRegex(line, r"blocks kept \([1-9]")
        self.assertLess(promised, ROWS * WIDTH * 4)

        peaks = [self.peak_of("worker", 2, f"r{run}", *settings) for run in range(RUNS)]

        self.assertEqual(self.summary("r0")["samples"], EPOCHS * ROWS)
        measured = statistics.median(peaks)
        print(f"{measured / MIB:.1f} MiB of {line} -> {measured / promised:.2f}")
        self.assertGreater(measured, (1 - TOLERANCE) * promised)
        self.assertLess(measured, (1 + TOLERANCE) * promised)
