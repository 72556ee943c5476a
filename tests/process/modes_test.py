"""Whole jobs with the real programs: the result files, every mode, the same bits in sync."""

import json
import re

import launching
from process_case import BIN_DIR, ProcessTest

# (workers, servers, shards per server)
SHAPES = ((1, 1, 1), (2, 1, 2), (2, 3, 1), (3, 1, 1), (4, 2, 2))

SUMMARY_FIELDS = {"mode", "steps", "epochs", "samples", "wall_seconds", "samples_per_second",
                  "metrics", "weights_xxh3", "bytes_pushed", "bytes_pulled", "staleness",
                  "lost_pushes", "restarts", "job_hash", "order_ledger",
                  "loader"}


class Modes(ProcessTest):
    def test_sync_gives_the_same_bits_for_any_workers_servers_and_shards(self):
        hashes, ledgers = {}, set()
        for workers, servers, shards in SHAPES:
            summary = self.finish(f"cluster.workers={workers}", f"cluster.servers={servers}",
                                  f"cluster.shards_per_server={shards}",
                                  run_dir=f"shape-{workers}-{servers}-{shards}")
            hashes[workers, servers, shards] = summary["weights_xxh3"]
            ledgers.add(summary["order_ledger"])

        self.assertEqual(len(set(hashes.values())), 1, hashes)
        self.assertEqual(len(ledgers), 1, ledgers)
        self.assertRegex(ledgers.pop(), "^[0-9a-f]{16}$")

    def test_more_units_on_a_shard_than_a_message_carries_give_the_same_bits(self):
        self.job.write_text(self.job.read_text().replace("units = 32", "units = 4200"))
        shape = ("cluster.workers=2", "cluster.servers=1", "train.max_steps=3")

        many = self.finish(*shape, "cluster.unit_bytes=64", run_dir="many")  # 4676 units
        few = self.finish(*shape, "cluster.unit_bytes=1048576", run_dir="few")

        self.assertEqual(many["weights_xxh3"], few["weights_xxh3"])

    def test_every_mode_counts_each_sample_once_and_learns(self):
        for mode in ("sync", "ssp", "async"):
            with self.subTest(mode=mode):
                summary = self.finish(f"train.mode={mode}", run_dir=mode)

                self.assertFalse(SUMMARY_FIELDS - summary.keys())
                self.assertEqual(summary["mode"], mode)
                self.assertEqual(summary["samples"], 4 * 3823)
                self.assertEqual(summary["lost_pushes"], 0)
                # 4 epochs of a small net with dropout; chance is 0.1.
                self.assertGreater(summary["metrics"]["test_accuracy"], 0.8)

    def test_the_run_directory_holds_what_is_promised(self):
        self.finish()

        run = self.folder / "r"
        self.assertEqual(run.stat().st_mode & 0o777, 0o700)
        self.assertEqual((run / "job.toml").read_text(), self.job.read_text())
        for name in ("config.toml", "status.json", "metrics.jsonl", "summary.json"):
            self.assertTrue((run / name).is_file(), name)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(len(records), 4)
        self.assertTrue(all({"step", "epoch", "time", "test_accuracy"} <= record.keys()
                            for record in records))
        self.assertEqual(self.status()["state"], "ended")
        self.assertTrue(list(run.glob("checkpoints/*/manifest")))

    def test_an_effective_config_runs_to_the_same_bits(self):
        first = self.finish("train.epochs=1")
        self.job.write_text((self.folder / "r/config.toml").read_text())

        again = self.finish(run_dir="again")

        self.assertEqual(again["weights_xxh3"], first["weights_xxh3"])
        self.assertEqual(again["job_hash"], first["job_hash"])

    def test_tcp_gives_the_bits_of_ipc(self):
        ipc = self.finish("train.epochs=1")

        tcp = self.finish("train.epochs=1", "cluster.transport=tcp", run_dir="tcp")

        self.assertEqual(tcp["weights_xxh3"], ipc["weights_xxh3"])

    def test_smoke_runs_every_stage(self):
        done = launching.run("run", self.job, "--run-dir", "r", "--smoke", "3", cwd=self.folder)

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count(" ok\n"), 5, done.stdout)

    def test_dry_run_prints_shapes_units_and_the_memory_sum_and_starts_nothing(self):
        done = launching.run("run", self.job, "--dry-run", cwd=self.folder)

        self.assertEqual(done.returncode, 0, done.stderr)
        for shape in ("3823 train rows, 1797 test rows, 64 features",
                      "layer 0: dense      [64 -> 32] relu, 2080 parameters",
                      "layer 2: dense      [32 -> 10], 330 parameters"):
            self.assertIn(shape, done.stdout)
        units = int(re.search(r"^(\d+) units on 2 shards$", done.stdout, re.MULTILINE).group(1))
        shards = re.findall(r"^  server (\d) shard (\d): (\d+) units, (\d+) bytes$", done.stdout,
                            re.MULTILINE)
        self.assertEqual([shard[:2] for shard in shards], [("0", "0"), ("1", "1")])
        self.assertEqual(sum(int(shard[2]) for shard in shards), units)
        self.assertEqual(sum(int(shard[3]) for shard in shards), 4 * (2080 + 330))
        self.check_memory(done.stdout)
        self.assertFalse((self.folder / "runs").exists())

    def check_memory(self, text):
        """Each role's parts make its sum, and two of each make the sum of all."""
        sums = []
        for role in ("server", "worker"):
            line = re.search(rf"^memory of a {role} \(2 of them\): (.+) = ([\d.]+) MiB$", text,
                             re.MULTILINE)
            parts = [float(part) for part in re.findall(r"([\d.]+) MiB", line.group(1))]
            self.assertEqual(len(parts), line.group(1).count(" + ") + 1)
            sums.append(float(line.group(2)))
            # Each number is rounded to 0.01.
            self.assertAlmostEqual(sum(parts), sums[-1], delta=0.005 * (len(parts) + 1.1))
        of_all = re.search(r"^memory of all: ([\d.]+) MiB$", text, re.MULTILINE)
        self.assertAlmostEqual(2 * sum(sums), float(of_all.group(1)), delta=0.03)
