"""Training rows streamed in the order `strip` from many small blocks: the same bits in sync whoever
reads them, and each row once."""

import os
import signal

import launching
from process_case import ProcessTest, SMALL_BLOCKS

# (workers, servers)
SHAPES = ((1, 1), (2, 1), (3, 1), (4, 2))
EPOCHS = "train.epochs=40"


class Stream(ProcessTest):
    train_options = SMALL_BLOCKS

    def settings(self, *settings):
        return super().settings("data.order=strip", "data.window=3", *settings)

    def test_sync_gives_the_same_bits_for_any_workers_and_servers(self):
        hashes = {}
        for workers, servers in SHAPES:
            summary = self.finish(f"cluster.workers={workers}", f"cluster.servers={servers}",
                                  run_dir=f"shape-{workers}-{servers}")
            hashes[workers, servers] = summary["weights_xxh3"]
            # A lane's 30 rows come from a strip of 3 blocks, or from two strips; at a lane's ends
            # from less, where a block was cut.
            self.assertEqual(summary["loader"]["blocks_per_batch_min"], 2)
            self.assertGreaterEqual(summary["loader"]["blocks_per_batch_mean"], 3)
            self.assertLessEqual(summary["loader"]["blocks_per_batch_mean"], 4)
            self.assertGreater(summary["metrics"]["test_accuracy"], 0.8)

        self.assertEqual(len(set(hashes.values())), 1, hashes)

    def test_sync_resumes_in_mid_epoch_with_another_worker_to_the_same_bits(self):
        undisturbed = self.finish(EPOCHS, run_dir="undisturbed")
        launcher = self.start(EPOCHS)
        self.wait_for_checkpoint(launcher)
        os.kill(self.pid_of("worker", 0), signal.SIGKILL)
        self.end(launcher, seconds=20)
        self.assertFalse(self.is_done(), "a job cut short passes for a whole one")

        done = self.resume("cluster.workers=1")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary()["weights_xxh3"], undisturbed["weights_xxh3"])

    def test_status_says_how_rows_are_mixed_and_whether_the_loader_is_the_brake(self):
        summary = self.finish("train.epochs=2")

        loader = self.status()["workers"][0]["loader"]
        self.assertGreater(loader["batches_ready"] + loader["batches_waited"], 60)
        self.assertEqual(loader["blocks_per_batch_min"], summary["loader"]["blocks_per_batch_min"])
        shown = launching.run("status", "r", cwd=self.folder).stdout
        self.assertRegex(shown, r"not ready +blocks/batch")
        self.assertRegex(shown, r"\d %  +[34]\.?\d*, least 2")

    def test_blocks_stay_in_memory_where_the_budget_allows_and_change_no_bit(self):
        summaries = [self.finish(f"cluster.workers={workers}", run_dir=f"r{workers}")
                     for workers in (1, 3)]

        # One worker reads each of the 32 blocks once in four epochs.
        self.assertEqual(summaries[0]["loader"]["blocks_read"], 32)
        self.assertGreater(summaries[0]["loader"]["blocks_found"], 3 * 32)
        self.assertLessEqual(summaries[1]["loader"]["blocks_read"], 3 * 32)
        self.assertEqual(summaries[1]["weights_xxh3"], summaries[0]["weights_xxh3"])

    def test_async_counts_each_sample_once(self):
        summary = self.finish("train.mode=async", "cluster.workers=3")

        self.assertEqual(summary["samples"], 4 * 3823)
        self.assertEqual(summary["lost_pushes"], 0)

    def test_auto_holds_the_rows_where_they_fit_and_says_so_in_the_config(self):
        self.finish("data.order=auto", "data.window=0", "train.epochs=1")

        config = (self.folder / "r/config.toml").read_text()
        self.assertIn('order = "full"', config)
