"""Real jobs against the plain loop: one process, one thread, no servers, units or messages."""

import gzip
import subprocess

from launching import ROOT
from process_case import BIN_DIR, ProcessTest


class PlainLoop(ProcessTest):
    def plain_bits(self, run_dir):
        """weights_xxh3 of the plain loop for the run's effective config."""
        rows = self.folder / "rows.csv"
        rows.write_bytes(gzip.decompress((ROOT / "tests/data/optdigits.tra.gz").read_bytes()))
        done = subprocess.run([BIN_DIR / "plain-run", self.folder / run_dir / "config.toml", rows],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def expect_plain_bits(self, *settings):
        summary = self.finish(*settings)
        self.assertEqual(summary["weights_xxh3"], self.plain_bits("r"))

    def test_sync_ends_with_the_bits_of_the_plain_loop(self):
        # With dropout. 3823 rows: the last step of an epoch has 26, 26, 26 and 25 rows of 30.
        self.expect_plain_bits("train.mode=sync")

    def test_sync_ends_with_the_bits_of_the_plain_loop_when_a_lane_is_absent(self):
        # Lanes of 956, 956, 956 and 955 rows, 5 a step: the fourth has none in the last step.
        self.expect_plain_bits("train.mode=sync", "train.batch=20", "train.epochs=1")

    def test_sync_ends_with_the_bits_of_the_plain_loop_for_every_tail(self):
        # 3823 rows, 4 lanes of 5 a step: 16 rows less than 192 steps.
        bits = set()
        for tail in ("short", "pad", "drop"):
            with self.subTest(tail=tail):
                summary = self.finish("train.mode=sync", "train.batch=20", "train.epochs=2",
                                      f"data.tail={tail}", run_dir=tail)
                self.assertEqual(summary["weights_xxh3"], self.plain_bits(tail))
                self.assertEqual(summary["samples"], 2 * (3820 if tail == "drop" else 3823))
                bits.add(summary["weights_xxh3"])
        self.assertGreaterEqual(len(bits), 2)

    def test_sync_ends_with_the_bits_of_the_plain_loop_when_lanes_move(self):
        summary = self.finish("fault.move_lane_every_steps=5", "cluster.workers=3",
                              "cluster.heartbeat_ms=20", "train.epochs=20")

        self.assertGreater(summary["lane_moves"], 2)
        self.assertEqual(summary["weights_xxh3"], self.plain_bits("r"))

    def test_steps_of_several_batches_end_with_the_bits_of_the_plain_loop(self):
        # 3823 rows, 4 lanes of 5 a batch: 192 batches an epoch, the last without the fourth lane;
        # in steps of 7 the last of an epoch has 3. Three workers own 1, 1 and 2 lanes.
        bits = set()
        for push in ("gradient", "delta"):
            for tail in ("short", "pad"):
                with self.subTest(push=push, tail=tail):
                    run_dir = f"{push}-{tail}"
                    summary = self.finish("train.mode=sync", "train.batch=20", "train.epochs=2",
                                          "train.local_steps=7", f"train.push={push}",
                                          f"data.tail={tail}", "cluster.workers=3",
                                          "train.schedule.kind=cosine",
                                          "train.optimizer.weight_decay=0.001", run_dir=run_dir)
                    self.assertEqual(summary["steps"], 2 * 28)
                    self.assertEqual(summary["samples"], 2 * 3823)
                    self.assertEqual(summary["weights_xxh3"], self.plain_bits(run_dir))
                    bits.add(summary["weights_xxh3"])
        self.assertEqual(len(bits), 2, "padding weighs nothing, what is pushed does")

    def test_a_delta_of_one_batch_is_a_step_of_the_optimizer(self):
        # Plain SGD without state: worker and server do the same but for the last bit of a value.
        common = ("train.mode=sync", "train.lanes=1", "cluster.workers=1", "train.epochs=1",
                  "train.optimizer.kind=sgd", "train.optimizer.learning_rate=0.1")
        accuracies, losses = [], []
        for push in ("gradient", "delta"):
            summary = self.finish(*common, f"train.push={push}", run_dir=push)
            self.assertEqual(summary["weights_xxh3"], self.plain_bits(push))
            accuracies.append(summary["metrics"]["test_accuracy"])
            losses.append(summary["metrics"]["test_loss"])
        self.assertAlmostEqual(accuracies[0], accuracies[1], delta=0.005)
        self.assertAlmostEqual(losses[0], losses[1], delta=0.001)

    def test_async_of_one_lane_pushes_deltas_of_the_plain_loop(self):
        self.expect_plain_bits("train.mode=async", "train.lanes=1", "cluster.workers=1",
                               "train.local_steps=5", "train.push=delta",
                               "train.optimizer.kind=momentum")

    def test_sync_follows_schedule_decay_and_clipping_of_the_plain_loop(self):
        self.expect_plain_bits("train.mode=sync", "train.epochs=2", "train.optimizer.kind=adamw",
                               "train.optimizer.weight_decay=0.01",
                               "train.optimizer.clip_value=0.01", "train.schedule.kind=cosine",
                               "train.schedule.warmup_steps=10")

    def test_async_with_one_worker_and_one_lane_is_plain_sgd(self):
        self.expect_plain_bits("train.mode=async", "train.lanes=1", "cluster.workers=1",
                               "train.optimizer.kind=sgd", "train.optimizer.learning_rate=0.1")

