"""Which rows a job was trained on, step by step: the order ledger of a run is a function of the job
file and the data alone, and `data replay` computes it again and exports the rows of a step."""

import os
import pathlib
import signal

import launching
from process_case import ProcessTest, SMALL_BLOCKS

ORDERS = {"full": ("data.order=full",), "strip": ("data.order=strip", "data.window=3")}
EPOCHS = "train.epochs=20"


class Order(ProcessTest):
    train_options = SMALL_BLOCKS

    def replay(self, *words, code=0):
        done = launching.run("data", "replay", *words, cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def kill_and_resume(self, *settings, resumed_with=()):
        launcher = self.start(*settings)
        self.wait_for_checkpoint(launcher)
        os.kill(self.pid_of("worker", 0), signal.SIGKILL)
        self.end(launcher, seconds=20)
        self.assertFalse(self.is_done(), "a job cut short passes for a whole one")
        self.assertIn("every step", self.replay("r", "--verify"))  # somewhere in the middle
        done = self.resume(*resumed_with)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.summary()

    def test_sync_takes_the_same_rows_whoever_owns_the_lanes_and_whatever_dies(self):
        for order, settings in ORDERS.items():
            with self.subTest(order=order):
                ledgers = {}
                for workers in (1, 2, 3):
                    ledgers[f"{workers} workers"] = self.finish(
                        EPOCHS, *settings, f"cluster.workers={workers}",
                        run_dir=f"{order}-{workers}")["order_ledger"]
                moving = self.finish(EPOCHS, *settings, "fault.move_lane_every_steps=5",
                                     "cluster.heartbeat_ms=20", run_dir=f"{order}-moving")
                self.assertGreater(moving["lane_moves"], 2)
                ledgers["moving"] = moving["order_ledger"]
                ledgers["killed"] = self.kill_and_resume(
                    EPOCHS, *settings, resumed_with=("cluster.workers=3",))["order_ledger"]

                self.assertEqual(len(set(ledgers.values())), 1, ledgers)
                self.assertIn(ledgers["killed"], self.replay("r", "--verify"))
                (self.folder / "r").rename(self.folder / f"{order}-killed")

    def test_async_and_ssp_take_the_rows_that_sync_takes(self):
        settings = (*ORDERS["strip"], EPOCHS)
        sync = self.finish(*settings, run_dir="sync")["order_ledger"]
        for mode in ("async", "ssp"):
            with self.subTest(mode=mode):
                moving = self.finish(*settings, f"train.mode={mode}", "cluster.workers=3",
                                     "fault.move_lane_every_steps=5", "cluster.heartbeat_ms=20",
                                     run_dir=mode)
                self.assertGreater(moving["lane_moves"], 2)
                self.assertEqual(moving["order_ledger"], sync)

                killed = self.kill_and_resume(*settings, f"train.mode={mode}")

                self.assertEqual(killed["order_ledger"], sync)
                (self.folder / "r").rename(self.folder / f"{mode}-killed")

    def test_a_skipped_step_has_had_its_rows(self):
        broken = ("train.epochs=2", "train.optimizer.learning_rate=1e30",
                  "train.on_bad_gradient=skip", "data.test=")
        skipped = self.finish(*broken)["order_ledger"]
        self.assertIn("skipped", "".join(path.read_text()
                                         for path in (self.folder / "r/logs").glob("worker-*")))

        self.assertEqual(skipped, self.finish("train.epochs=2", run_dir="well")["order_ledger"])
        self.replay("r", "--verify")

    def test_the_rows_of_a_step_become_a_data_set(self):
        self.finish("train.epochs=1", *ORDERS["strip"])
        table = self.replay("r", "--step", "12", "--lane", "3")
        self.assertIn("# step 12, in epoch 1 of 1: 30 rows of 1 lane, order strip", table)

        self.replay("r", "--step", "12", "--lane", "3", "--out", "rows")

        heads = launching.run("data", "head", "rows", "-n", "1", cwd=self.folder).stdout
        row = int(table.splitlines()[2].split()[2])
        everything = launching.run("data", "head", self.data / "train", "-n", str(row + 1),
                                   cwd=self.folder).stdout
        self.assertEqual(heads.split("\n", 1)[1], everything.split(f"row {row}\n", 1)[1])

    def test_data_that_is_not_the_runs_own_is_refused(self):
        self.finish("train.epochs=1")

        error = self.replay("r", "--step", "0", "--data", self.data / "test", code=2)

        self.assertRegex(error, "manifest [0-9a-f]{16} expected by the run r, [0-9a-f]{16} found")

    def test_no_folder_of_the_run_is_overwritten(self):
        self.finish("train.epochs=1")
        for folder in ("r", self.data / "train", self.data / "test"):
            error = self.replay("r", "--step", "0", "--out", folder, "--overwrite", code=2)
            self.assertIn("a folder of its own expected, but the run r needs this one", error)
            self.finish("train.epochs=1", run_dir=f"again-{pathlib.Path(folder).name}")
