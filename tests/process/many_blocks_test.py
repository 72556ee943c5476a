"""What is known of each block is in the memory plan: a data set of 50,000 small blocks."""

import random
import re
import shutil

import launching
from process_case import ProcessTest, ROOT

MIB = 1 << 20
BLOCKS = 50_000
WIDTH = 2048  # u8, and a label of 4 bytes: no two rows fit into a block of 4 KiB
TOLERANCE = 0.10


class ManyBlocks(ProcessTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.rmtree(cls.data)
        draw = random.Random(1)
        pool = [",".join(str(draw.randrange(10)) for _ in range(WIDTH)) for _ in range(100)]
        for name, rows in (("train", BLOCKS), ("test", 1000)):
            source = cls.shared / f"{name}.csv"
            source.write_text("".join(f"{pool[row % 100]},{row % 10}\n" for row in range(rows)))
            done = launching.run("data", "convert", "--format", "csv", source, "--out",
                                 cls.data / name, "--features", "pixels", "--features-type", "u8",
                                 "--block-kib", "4", cwd=ROOT)
            source.unlink()
            if done.returncode != 0:
                raise AssertionError(done.stderr)

    def promised(self, *settings):
        """-> (bytes, the sum of a worker)"""
        done = launching.run("run", self.job, "--dry-run", *self.settings(*settings),
                             cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        line = re.search(r"^memory of a worker .*", done.stdout, re.M).group(0)
        return float(re.search(r"= ([\d.]+) MiB$", line).group(1)) * MIB, line

    def test_a_worker_takes_what_the_plan_says_with_few_blocks_kept_and_with_many(self):
        job = ("train.epochs=1", "train.batch=100", "train.lanes=2", "data.order=strip",
               "data.window=64", "cluster.workers=1")
        for name, memory_mib, kept in (("few", 12, r"list of blocks [1-9]"),
                                       ("many", 40, r"blocks kept \([1-9]")):
            with self.subTest(name):
                settings = (*job, f"data.memory_mib={memory_mib}")
                promised, line = self.promised(*settings)
                self.assertRegex(line, kept)

                peak = self.peak_of("worker", 1, name, *settings)

                self.assertEqual(self.summary(name)["samples"], BLOCKS)
                print(f"{peak / MIB:.1f} MiB of {line} -> {peak / promised:.2f}")
                self.assertLess(peak, (1 + TOLERANCE) * promised)
                self.assertGreater(peak, (1 - TOLERANCE) * promised)

    def test_blocks_that_are_too_many_for_the_budget_are_named(self):
        done = launching.run("run", self.job, "--dry-run",
                             *self.settings("data.memory_mib=4", "data.order=strip", "train.batch=8"),
                             cwd=self.folder)

        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertRegex(done.stderr, r"list of blocks \d+ B.*larger --block-kib")
