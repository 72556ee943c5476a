"""Jobs on GPUs that the processor plays (tests/support/emulated_gpu): the real programs under the
address sanitizer, with every kernel, copy and graph of the CUDA back end."""

import unittest

import launching
from launching import ROOT
from process_case import ProcessTest

BIN_DIR = ROOT / "build/emulated/bin"
SHORT = ("cluster.device=cuda", "train.epochs=2", "cluster.heartbeat_ms=500",
         "cluster.stuck_after_ms=60000")


class GpuJobs(ProcessTest):
    """Skipped, naming it, while the programs are not built."""

    @classmethod
    def setUpClass(cls):
        if not (BIN_DIR / "ballast-worker").is_file():
            raise unittest.SkipTest("build/emulated/bin does not exist: launch/build emulated "
                                    "makes it")
        super().setUpClass()

    def run_job(self, *settings, run_dir="r", timeout=300, prefix=()):
        return launching.run("--bin-dir", BIN_DIR, "run", self.job, "--run-dir", run_dir, "--quiet",
                             *self.settings(*SHORT, *settings), cwd=self.folder, timeout=timeout,
                             prefix=prefix)

    def log_of(self, run_dir):
        return (self.folder / run_dir / "logs/worker-0.log").read_text()

    def test_sync_has_the_same_bits_for_any_workers_and_learns_as_a_processor_does(self):
        alone = self.finish("cluster.workers=1", run_dir="alone")
        pair = self.finish("cluster.workers=2", "cluster.servers=1", run_dir="pair")
        processor = self.finish("cluster.device=cpu", run_dir="processor")

        self.assertIn("GPU 0 of 2", self.log_of("alone"))
        self.assertIn("features stay u8", self.log_of("alone"))
        self.assertEqual(pair["weights_xxh3"], alone["weights_xxh3"])
        self.assertAlmostEqual(alone["metrics"]["test_accuracy"],
                               processor["metrics"]["test_accuracy"], delta=0.01)

    def test_local_steps_have_the_same_bits_for_any_workers(self):
        for push in ("gradient", "delta"):
            with self.subTest(push=push):
                job = ("train.local_steps=4", f"train.push={push}", "train.batch=40")
                alone = self.finish(*job, "cluster.workers=1", run_dir=f"{push}-alone")
                pair = self.finish(*job, "cluster.workers=2", run_dir=f"{push}-pair")
                self.assertEqual(pair["weights_xxh3"], alone["weights_xxh3"])

    def test_async_and_bounded_staleness_with_steps_in_flight_take_every_sample_once(self):
        for mode in ("async", "ssp"):
            with self.subTest(mode=mode):
                done = self.finish(f"train.mode={mode}", "train.steps_in_flight=2",
                                   "train.precision=bf16", run_dir=mode)
                self.assertEqual(done["samples"], 2 * 3823)
                self.assertGreater(done["metrics"]["test_accuracy"], 0.8)


if __name__ == "__main__":
    unittest.main()
