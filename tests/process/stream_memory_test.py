"""A data set four times larger than data.memory_mib trains in the memory that the plan says."""

import statistics

from memory_case import GeneratedRowsTest

MEMORY_MIB = 10
EPOCHS = 6
RUNS = 3


class StreamMemory(GeneratedRowsTest):
    rows, width, features_type, block_kib = 100_000, 100, "f32", 256  # 40 MB

    def test_a_worker_takes_what_the_plan_says(self):
        settings = (f"data.memory_mib={MEMORY_MIB}", f"train.epochs={EPOCHS}", "train.batch=128",
                    "train.lanes=2")
        promised, line = self.promised("worker", *settings)
        self.assertIn("blocks of train rows", line)
        self.assertRegex(line, r"blocks kept \([1-9]")
        self.assertLess(promised, self.rows * self.width * 4)

        peaks = [self.peak_of("worker", 2, f"r{run}", *settings) for run in range(RUNS)]

        self.assertEqual(self.summary("r0")["samples"], EPOCHS * self.rows)
        measured = statistics.median(peaks)
        self.assert_is_promised(measured, promised, line)
