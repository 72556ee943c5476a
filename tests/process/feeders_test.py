"""Rows that feeders prepare: the same weights with any number of them, whatever becomes of them."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import launching
from process_case import BIN_DIR, ProcessTest, ROOT, SMALL_BLOCKS, convert

EPOCHS = "train.epochs=30"


class Feeders(ProcessTest):
    train_options = SMALL_BLOCKS

    def pids(self, run_dir="r"):
        return [pid for pid, words in launching.processes_of(self.folder / run_dir).items()
                if "ballast-feeder " in words]

    def log(self, name, run_dir="r"):
        return (self.folder / run_dir / "logs" / name).read_text()

    def test_sync_gives_the_same_bits_with_0_1_2_and_5_feeders(self):
        for order in (("data.order=strip", "data.window=3"), ("data.order=full",)):
            summaries = {}
            for feeders in (0, 1, 2, 5):
                summaries[feeders] = self.finish(*order, EPOCHS, f"cluster.feeders={feeders}",
                                                 run_dir=f"{order[0][-5:]}-{feeders}")

            for key in ("weights_xxh3", "order_ledger", "samples"):
                values = {json.dumps(summary.get(key)) for summary in summaries.values()}
                self.assertEqual(len(values), 1, (key, values))
            self.assertNotIn("rows_fed", summaries[0])
            for feeders in (1, 2, 5):
                self.assertGreater(summaries[feeders]["rows_fed"], 0, summaries[feeders])

    def test_killing_every_feeder_again_and_again_changes_no_bit(self):
        calm = self.finish("data.order=strip", "data.window=3", EPOCHS, run_dir="calm")
        launcher = self.start("data.order=strip", "data.window=3", EPOCHS, "cluster.feeders=2")
        killed = 0
        while launcher.poll() is None:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
            time.sleep(0.3)
        out, error = launcher.communicate()

        self.assertEqual(launcher.returncode, 0, error)
        self.assertGreater(killed, 2)
        self.assertIn("feeder 0 was killed by signal 9 (SIGKILL)", out)
        self.assertIn("it is started again in", out)
        self.assertEqual(self.summary()["weights_xxh3"], calm["weights_xxh3"])
        self.assertEqual(self.summary()["restarts"], 0)

    def test_feeders_that_stand_still_hold_nothing_up_for_long(self):
        calm = self.finish(EPOCHS, run_dir="calm")
        launcher = self.start(EPOCHS, "cluster.feeders=2")
        self.wait(launcher, lambda: self.status().get("rows_fed", 0) > 0 or self.is_done(),
                  "rows from feeders")
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)
        code, error = self.end(launcher, seconds=90)

        self.assertEqual(code, 0, error)
        self.assertEqual(self.summary()["weights_xxh3"], calm["weights_xxh3"])

    def test_async_counts_each_sample_once_and_status_says_who_fed_it(self):
        launcher = self.start("train.mode=async", "cluster.workers=2", "cluster.feeders=2",
                              "train.epochs=100000")
        self.wait(launcher, lambda: all(feeder["portions"] > 0 and feeder["workers"] == 2
                                        for feeder in self.status().get("feeders") or [{"portions": 0}]),
                  "both feeders feed both workers")
        shown = launching.run("status", "r", cwd=self.folder)
        self.assertRegex(shown.stdout, r"feeders 2/2 \d+ % of rows")
        self.assertRegex(shown.stdout, r"0\s+up\s+2\s+\d+")
        launcher.send_signal(signal.SIGINT)
        code, error = self.end(launcher, seconds=30)

        self.assertEqual(code, 75, error)
        self.assertIn("feeder 0 is here", self.log("worker-0.log"))
        self.assertIn("worker-1", self.log("feeder-0.log"))

    def test_a_feeder_with_another_data_set_is_refused_by_name(self):
        other = self.folder / "other"
        shutil.copytree(self.data / "train", other)
        launcher = self.start("train.epochs=100000", f"data.train={other}")
        self.wait_for_step(launcher, 2)
        # The same job, but its data are not what they were when it was made.
        shutil.rmtree(other)
        self.assertEqual(convert(ROOT / "tests/data/optdigits.tes.gz", other).returncode, 0)
        config = self.folder / "r/config.toml"
        config.write_text(config.read_text().replace("feeders = 0", "feeders = 1"))
        done = subprocess.run([BIN_DIR / "ballast-feeder", "--run-dir", self.folder / "r"],
                              capture_output=True, text=True, check=False, timeout=30)
        launcher.send_signal(signal.SIGINT)
        self.end(launcher, seconds=30)

        self.assertEqual(done.returncode, 2)
        report = json.loads((self.folder / "r/logs/feeder-0.failure.json").read_text())
        self.assertIn("1797 found", report["chain"][0])

    def test_a_feeder_that_cannot_start_does_not_end_the_job(self):
        # Its socket's place is taken by a folder.
        launcher = self.start("train.epochs=100000", "cluster.feeders=1", "data.threads=1")
        self.wait(launcher, lambda: self.status().get("rows_fed", 0) > 0, "rows from feeders")
        socket = self.folder / "r/sockets/feeder-0"
        socket.unlink()
        socket.mkdir()
        os.kill(self.pids()[0], signal.SIGKILL)
        report = self.folder / "r/logs/feeder-0.failure.json"
        self.wait(launcher, report.exists, "the feeder fails")
        step = self.status()["step"]
        self.wait_for_step(launcher, step + 20)
        launcher.send_signal(signal.SIGINT)
        code, error = self.end(launcher, seconds=30)

        self.assertEqual(code, 75, error)

    def test_portions_that_memory_has_no_room_for_are_refused_with_the_sum(self):
        tight = ("data.memory_mib=2", "data.order=strip", "data.window=2")
        self.finish(*tight, "train.epochs=1", run_dir="alone")
        done = self.run_job(*tight, "train.epochs=1", "cluster.feeders=1")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"data.memory_mib = 2: the loader needs train .* \+ "
                                      r"\d+ portions of feeders x \d+ B .* = \d+ B")
        self.assertIn("no cluster.feeders", done.stderr)

    def test_an_index_the_job_does_not_have_is_refused(self):
        self.finish("train.epochs=1", "cluster.feeders=1")
        done = subprocess.run([BIN_DIR / "ballast-feeder", "--run-dir", self.folder / "r",
                               "--index", "1"], capture_output=True, text=True, check=False,
                              timeout=30)

        self.assertEqual(done.returncode, 2)
        report = json.loads((self.folder / "r/logs/feeder-1.failure.json").read_text())
        self.assertIn("--index 1: the job has 1 feeders", report["chain"][0])

    def test_feeders_over_tcp_started_by_hand_on_a_host_of_their_own(self):
        calm = self.finish(EPOCHS, run_dir="calm")
        done = {}
        settings = ("cluster.transport=tcp", f"cluster.port={20000 + os.getpid() % 20000}",
                    "cluster.feeders=1", 'cluster.feeder_hosts=["127.0.0.2"]', EPOCHS)
        runner = threading.Thread(target=lambda: done.update(self.finish(*settings)))
        runner.start()
        config = self.folder / "r/config.toml"
        launching.wait_until(config.exists, "the job is resolved")
        with open(self.folder / "by-hand", "w", encoding="utf-8") as out:
            by_hand = subprocess.Popen([BIN_DIR / "ballast-feeder", "--run-dir",
                                        self.folder / "r"], stdout=out, stderr=out)
        runner.join()
        by_hand.terminate()

        self.assertEqual(by_hand.wait(timeout=10), 0)
        self.assertEqual(done["weights_xxh3"], calm["weights_xxh3"])
        self.assertGreater(done["rows_fed"], 0)
