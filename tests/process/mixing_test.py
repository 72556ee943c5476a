"""Several data sets with rates, over- and undersampled classes: the same rows and the same weights
whoever reads them, wherever they lie, and whatever dies on the way."""

import gzip
import os
import re
import signal
import time

import launching
from object_store import ObjectStore
from process_case import ProcessTest, ROOT, SMALL_BLOCKS, convert

MIXED = ("data.rate=0.6", "data.mix[0].rate=2.5")
ORDERS = {"full": ("data.order=full",), "strip": ("data.order=strip", "data.window=3")}
EPOCHS = "train.epochs=15"


class Mixing(ProcessTest):
    train_options = SMALL_BLOCKS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # 900 rows of which the digits 0 to 4 are rare, stored in another way.
        lines = gzip.open(ROOT / "tests/data/optdigits.tra.gz", "rt").read().splitlines()
        rare = [line for i, line in enumerate(lines) if line[-1] in "56789" or i % 9 == 0][:900]
        source = cls.shared / "rare.csv"
        source.write_text("\n".join(rare) + "\n")
        done = convert(source, cls.data / "rare", *SMALL_BLOCKS, "--codec", "zstd")
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def mix(self, location=None):
        with self.job.open("a") as job:
            job.write(f'[[data.mix]]\ntrain = "{location or self.data / "rare"}"\n')

    def replay(self, *words):
        done = launching.run("data", "replay", *words, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def kill_and_resume(self, *settings):
        launcher = self.start(*settings)
        self.wait_for_checkpoint(launcher)
        os.kill(self.pid_of("worker", 0), signal.SIGKILL)
        self.end(launcher, seconds=20)
        self.assertFalse(self.is_done(), "a job cut short passes for a whole one")
        self.assertIn("every step", self.replay("r", "--verify"))
        done = self.resume("cluster.workers=3")
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.summary()

    def check_same_bits(self, *settings):
        found = {"1 worker": self.finish(*settings, "cluster.workers=1", run_dir="one")}
        found["3 workers"] = self.finish(*settings, "cluster.workers=3", "cluster.heartbeat_ms=20",
                                         "fault.move_lane_every_steps=5", run_dir="three")
        found["fed"] = self.finish(*settings, "cluster.feeders=2", run_dir="fed")
        self.assertGreater(found["fed"]["rows_fed"], 0)
        found["killed"] = self.kill_and_resume(*settings)
        for key in ("weights_xxh3", "order_ledger"):
            values = {name: summary[key] for name, summary in found.items()}
            self.assertEqual(len(set(values.values())), 1, values)
        self.assertIn(found["killed"]["order_ledger"], self.replay("r", "--verify"))
        shown = "-".join(settings).replace("/", "_")
        for run_dir in ("one", "three", "fed", "r"):
            (self.folder / run_dir).rename(self.folder / f"{run_dir}-{shown}")
        return found["1 worker"]

    def test_a_mixed_job_has_the_same_bits_whoever_reads_its_rows(self):
        self.mix()
        for name, order in ORDERS.items():
            with self.subTest(order=name):
                summary = self.check_same_bits(*MIXED, *order, EPOCHS)

                self.assertEqual(summary["samples"], 15 * (round(0.6 * 3823) + 2250))
                self.assertGreater(summary["metrics"]["test_accuracy"], 0.9)

    def test_a_balanced_job_has_the_same_bits_whoever_reads_its_rows(self):
        self.mix()
        for name, order in ORDERS.items():
            for balance in ("oversample", "undersample"):
                with self.subTest(order=name, balance=balance):
                    summary = self.check_same_bits(*order, f"data.balance={balance}", EPOCHS)

                    self.assertEqual(summary["samples"] % (15 * 10), 0, "as many of each")
                    self.assertGreater(summary["metrics"]["test_accuracy"], 0.9)

    def test_sets_in_folders_behind_http_and_in_s3_with_a_cache_are_the_same_bits(self):
        self.mix()
        settings = (*MIXED, *ORDERS["strip"], "data.balance=oversample", "train.epochs=3")
        folders = self.finish(*settings, run_dir="folders")
        cache = self.folder / "cache"
        with ObjectStore(self.data, seed=3, error_503=0.02, flip=0.02) as store, \
                ObjectStore(self.shared) as other:
            for run_dir in ("cold", "warm"):
                far = self.finish(*settings, f"data.train={store.url}/train", f"data.cache={cache}",
                                  "data.mix[0].train=s3://digits/rare",
                                  f"data.s3.endpoint={other.url}", run_dir=run_dir)
                self.assertEqual(far["weights_xxh3"], folders["weights_xxh3"])
            half = self.finish(*settings, f"data.mix[0].train={store.url}/rare", run_dir="half")
        self.assertEqual(half["weights_xxh3"], folders["weights_xxh3"])

    def test_a_set_behind_http_and_a_cache_smaller_than_it_are_the_same_bits(self):
        lines = gzip.decompress((ROOT / "tests/data/optdigits.tra.gz").read_bytes())
        source = self.shared / "large.csv"
        source.write_bytes(16 * lines)
        done = convert(source, self.data / "large", *SMALL_BLOCKS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.mix(self.data / "large")
        settings = (*ORDERS["strip"], "data.balance=oversample", "data.memory_mib=2",
                    "train.epochs=2")
        folders = self.finish(*settings, run_dir="folders")
        cache = self.folder / "cache"
        most = 0
        with ObjectStore(self.data, seed=3, error_503=0.01) as store:
            launcher = self.start(*settings, f"data.mix[0].train={store.url}/large",
                                  f"data.cache={cache}", "data.cache_mib=2", run_dir="far")
            while launcher.poll() is None:
                most = max(most, self.bytes_in(cache))
                time.sleep(0.005)
            code, error = self.end(launcher, seconds=10)

        self.assertEqual(code, 0, error)
        far = self.summary("far")
        for key in ("weights_xxh3", "order_ledger", "samples"):
            self.assertEqual(far[key], folders[key], key)
        self.assertGreater(store.bytes_sent, 2 << 20, "more than the cache holds was read")
        self.assertGreater(most, 1 << 20, "the cache was used")
        self.assertLessEqual(most, 2 << 20)
        told = [re.search(r"data.cache: .* (\d+) given up", (self.folder / log).read_text())
                for log in ("far/logs/worker-0.log", "far/logs/worker-1.log")]
        self.assertGreater(sum(int(found[1]) for found in told if found), 0)

    @staticmethod
    def bytes_in(cache):
        total = 0
        for path in cache.glob("*.cached"):
            try:
                total += path.stat().st_blocks * 512
            except FileNotFoundError:  # given up meanwhile
                pass
        return total

    def test_the_log_and_the_plan_say_what_each_set_and_class_gives(self):
        self.mix()
        settings = ("data.balance=oversample", "train.epochs=1")
        self.finish(*settings)
        log = (self.folder / "r/logs/worker-0.log").read_text()
        planned = launching.run("data", "plan", self.job, *self.settings(*settings),
                                cwd=self.folder)

        self.assertEqual(planned.returncode, 0, planned.stderr)
        for text in (log, planned.stdout):
            self.assertRegex(text, r"digits/train: 3823 rows give \d+ samples an epoch, \d+\.\d %")
            self.assertRegex(text, r"digits/rare: 900 rows give \d+ samples an epoch")
            for digit in range(10):
                self.assertRegex(text, rf"label = {digit}: \d+ rows give \d+ samples an epoch, 10")

    def test_a_step_of_a_mixed_job_names_and_exports_its_rows(self):
        self.mix()
        self.finish("train.epochs=1", *ORDERS["strip"], *MIXED)

        table = self.replay("r", "--step", "3")
        self.replay("--data", self.data / "train", "--data", self.data / "rare", "r", "--step", "3",
                    "--out", "rows")

        self.assertIn(f"# 1/ is {self.data}/rare", table)
        self.assertRegex(table, r" 0/[0-9a-f]{16}\.blc ")
        self.assertRegex(table, r" 1/[0-9a-f]{16}\.blc ")
        inspected = launching.run("data", "inspect", "rows", cwd=self.folder).stdout
        self.assertIn("rows          120", inspected)
        self.assertIn("label         label = 9: ", inspected)

    def test_another_mix_is_another_job(self):
        self.mix()
        self.finish("train.epochs=2", "train.max_steps=20")
        other_key = "cannot be resumed with other keys that fix its result"
        other_data = "it is not the data of that run"
        for setting, problem, named in (
                ("data.rate=0.5", other_key, "data.rate: 1.0 -> 0.5"),
                ("data.mix[0].rate=2", other_key, "data.mix[0].rate: 1.0 -> 2.0"),
                (f"data.mix[0].train={self.data}/test", other_data, f"+ {self.data}/test"),
                ("data.balance=undersample", other_key, "data.balance")):
            with self.subTest(setting=setting):
                done = self.resume("train.max_steps=0", setting)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn(problem, done.stderr)
                self.assertIn(named, done.stderr)

        self.assertEqual(self.resume("train.max_steps=0").returncode, 0)

    def test_what_cannot_be_mixed_is_refused(self):
        narrow = self.shared / "narrow"
        source = self.shared / "narrow.csv"
        source.write_text("1,2,3,0\n4,5,6,1\n")
        self.assertEqual(convert(source, narrow).returncode, 0)
        self.mix(narrow)
        rare = f"data.mix[0].train={self.data}/rare"
        for settings, named in (
                ((), (f"pixels u8 [64] in {narrow} expected as in {self.data}/train",
                      "u8 [3] found")),
                ((rare, "data.mix[0].rate=0.0001"), ("data.mix[0].rate = 0.0001", "no sample")),
                ((rare, "data.mix[0].rate=0"), ("data.mix[0].rate = 0 is out of range", "above 0")),
                ((rare, "data.rate=2", "data.order=none"),
                 ('data.order = "none" takes each row',)),
                (("data.mix[0].train=nowhere",), ("nowhere: no such folder",)),
                ((rare, "data.rate=0.001", "train.lanes=4096", "train.batch=4096"),
                 ("is more than the 904 samples of an epoch", "+"))):
            with self.subTest(settings=settings):
                done = self.run_job(*settings)
                self.assertEqual(done.returncode, 2, done.stderr)
                for words in named:
                    self.assertIn(words, done.stderr)
