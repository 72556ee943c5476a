"""What is known of each block is in the memory plan: a data set of 50,000 small blocks."""

import launching
from memory_case import GeneratedRowsTest


class ManyBlocks(GeneratedRowsTest):
    # No two rows fit into a block of 4 KiB.
    rows, width, features_type, block_kib = 50_000, 2048, "u8", 4

    def test_a_worker_takes_what_the_plan_says_with_few_blocks_kept_and_with_many(self):
        job = ("train.epochs=1", "train.batch=100", "train.lanes=2", "data.order=strip",
               "data.window=64", "cluster.workers=1")
        for name, memory_mib, kept in (("few", 12, r"list of blocks [1-9]"),
                                       ("many", 40, r"blocks kept \([1-9]")):
            with self.subTest(name):
                settings = (*job, f"data.memory_mib={memory_mib}")
                promised, line = self.promised("worker", *settings)
                self.assertRegex(line, kept)

                peak = self.peak_of("worker", 1, name, *settings)

                self.assertEqual(self.summary(name)["samples"], self.rows)
                self.assert_is_promised(peak, promised, line)

    def test_blocks_that_are_too_many_for_the_budget_are_named(self):
        done = launching.run("run", self.job, "--dry-run",
                             *self.settings("data.memory_mib=4", "data.order=strip", "train.batch=8"),
                             cwd=self.folder)

        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertRegex(done.stderr, r"list of blocks \d+ B.*larger --block-kib")
