"""Steps of several batches: the bits of sync hold whatever else changes, and the ledger says the rows."""

import launching
from process_case import SMALL_BLOCKS, ProcessTest

# 128 batches an epoch of 30 rows, the last one short and without one lane; in steps of 7 the last
# step of an epoch has 2 batches.
STEPS = ("train.batch=30", "train.lanes=5", "train.local_steps=7", "train.epochs=3",
         "data.order=strip", "train.schedule.kind=cosine", "train.schedule.warmup_steps=5",
         "train.schedule.floor=0.1")


class LocalSteps(ProcessTest):
    train_options = SMALL_BLOCKS

    def test_sync_has_the_same_bits_for_workers_servers_feeders_moves_and_a_resume(self):
        bits = set()
        for push in ("gradient", "delta"):
            with self.subTest(push=push):
                job = (*STEPS, f"train.push={push}")
                alone = self.finish(*job, "cluster.workers=1", "cluster.servers=1",
                                    run_dir=f"{push}-alone")
                many = self.finish(*job, "cluster.workers=3", "cluster.servers=2",
                                   "cluster.feeders=1", "fault.move_lane_every_steps=3",
                                   "cluster.heartbeat_ms=20", run_dir=f"{push}-many")
                self.finish(*job, "train.max_steps=25", run_dir=f"{push}-cut")
                done = self.resume("train.max_steps=0", "cluster.workers=4", run_dir=f"{push}-cut")

                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(alone["steps"], 3 * 19)
                self.assertEqual(alone["samples"], 3 * 3823)
                for other in (many, self.summary(f"{push}-cut")):
                    self.assertEqual(other["weights_xxh3"], alone["weights_xxh3"])
                    self.assertEqual(other["order_ledger"], alone["order_ledger"])
                for run in ("many", "cut"):
                    told = launching.run("data", "replay", f"{push}-{run}", "--verify",
                                         cwd=self.folder)
                    self.assertEqual(told.returncode, 0, told.stderr)
                bits.add(alone["weights_xxh3"])
        self.assertEqual(len(bits), 2)

    def test_async_workers_take_every_sample_once(self):
        alone = self.finish(*STEPS, "cluster.workers=1", run_dir="alone")
        for push in ("gradient", "delta"):
            with self.subTest(push=push):
                summary = self.finish(*STEPS, "train.mode=async", f"train.push={push}",
                                      "cluster.workers=3", "fault.slow_worker=1",
                                      "fault.slow_factor=3", run_dir=push)

                self.assertEqual(summary["samples"], 3 * 3823)
                self.assertEqual(summary["order_ledger"], alone["order_ledger"])
                told = launching.run("data", "replay", push, "--verify", cwd=self.folder)
                self.assertEqual(told.returncode, 0, told.stderr)
