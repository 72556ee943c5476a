"""Jobs on GPUs that the processor plays (tests/support/emulated_gpu): the real programs under the
address sanitizer, with the CUDA back end and its kernels."""

import json
import os
import unittest

import launching
from launching import ROOT
from process_case import JOB, ProcessTest

EMULATED = ROOT / "build/emulated/bin"
SHORT = ("cluster.device=cuda", "train.epochs=2", "cluster.heartbeat_ms=500",
         "cluster.stuck_after_ms=60000")


class GpuJobs(ProcessTest):
    """Skipped where another preset is tested: what lies in build/emulated may be of other sources."""

    @classmethod
    def setUpClass(cls):
        if os.environ.get("BALLAST_TEST_PRESET") != "emulated":
            raise unittest.SkipTest("of the preset emulated: BALLAST_TEST_PRESET=emulated, after "
                                    "launch/build emulated")
        super().setUpClass()

    def run_job(self, *settings, run_dir="r", timeout=300, prefix=(), options=()):
        return launching.run("--bin-dir", EMULATED, "run", self.job, "--run-dir", run_dir, "--quiet",
                             *options, *self.settings(*SHORT, *settings), cwd=self.folder,
                             timeout=timeout, prefix=prefix)

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

    def test_workers_share_a_gpu_and_its_memory_with_the_bits_of_one(self):
        few = ("train.max_steps=20", "cluster.devices=1")
        alone = self.finish(*few, "cluster.workers=1", run_dir="alone")
        shared = self.finish(*few, "cluster.workers=2", "cluster.device_memory=0.4",
                             run_dir="shared")

        self.assertEqual(shared["weights_xxh3"], alone["weights_xxh3"])
        for worker in range(2):
            log = (self.folder / f"shared/logs/worker-{worker}.log").read_text()
            self.assertIn("GPU 0 of 2", log)

    def test_a_worker_takes_no_more_of_a_gpu_than_its_part_and_no_gpu_that_is_not_there(self):
        for setting, expected in (("cluster.device_memory=1e-7", "cluster.device_memory"),
                                  ("cluster.devices=3", "cluster.devices = 3 expected, 2 visible")):
            with self.subTest(setting=setting):
                refused = self.run_job(setting, run_dir=setting)

                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(expected, refused.stderr)

    def test_local_steps_have_the_same_bits_for_any_workers_and_learn(self):
        for push in ("gradient", "delta"):
            with self.subTest(push=push):
                job = ("train.local_steps=4", f"train.push={push}", "train.batch=40")
                alone = self.finish(*job, "cluster.workers=1", run_dir=f"{push}-alone")
                pair = self.finish(*job, "cluster.workers=2", run_dir=f"{push}-pair")
                processor = self.finish(*job, "cluster.device=cpu", run_dir=f"{push}-processor")

                self.assertEqual(pair["weights_xxh3"], alone["weights_xxh3"])
                self.assertAlmostEqual(alone["metrics"]["test_accuracy"],
                                       processor["metrics"]["test_accuracy"], delta=0.01)

    def test_a_model_of_several_gpus_is_evaluated_where_there_is_one_or_none(self):
        job = ("train.max_steps=20", "cluster.workers=2", "cluster.devices=2",
               "cluster.device_memory=0.4")
        trained = self.finish(*job)
        for visible, said in (("0", ""), ("", "computed on the cpu: ")):
            with self.subTest(visible=visible):
                done = launching.run("--bin-dir", EMULATED, "evaluate", "r", self.data / "test",
                                     "--json", cwd=self.folder, timeout=120,
                                     prefix=("env", f"CUDA_VISIBLE_DEVICES={visible}"))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertAlmostEqual(json.loads(done.stdout)["metrics"]["accuracy"],
                                       trained["metrics"]["test_accuracy"], delta=0.01)
                self.assertIn(said, done.stderr)
                self.assertEqual("computed on the cpu" in done.stderr, bool(said))

    def test_graphs_of_steps_with_feeders_have_the_bits_of_a_resume(self):
        # Without dropout, so that steps are launched as graphs.
        self.job.write_text(JOB.format(data=self.data).replace('kind = "dropout"\nrate = 0.1',
                                                               'kind = "layer_norm"'))
        whole = self.finish("cluster.feeders=1", run_dir="whole")
        self.finish("train.max_steps=30", run_dir="cut")
        done = launching.run("--bin-dir", EMULATED, "run", "--resume", "cut", "--quiet",
                             *self.settings("train.max_steps=0"), cwd=self.folder, timeout=300)

        self.assertIn("launched as graphs", self.log_of("whole"))
        self.assertGreater(whole["rows_fed"], 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary("cut")["weights_xxh3"], whole["weights_xxh3"])

    def test_async_and_bounded_staleness_with_steps_in_flight_take_every_sample_once(self):
        for mode, push in (("async", "gradient"), ("async", "delta"), ("ssp", "gradient")):
            with self.subTest(mode=mode, push=push):
                done = self.finish(f"train.mode={mode}", "train.steps_in_flight=2",
                                   f"train.push={push}", "train.precision=bf16",
                                   run_dir=f"{mode}-{push}")
                self.assertEqual(done["samples"], 2 * 3823)
                self.assertGreater(done["metrics"]["test_accuracy"], 0.6)

    def test_weights_that_come_while_a_gpu_computes_are_staged(self):
        done = self.run_job("train.mode=async", "train.steps_in_flight=2", "train.local_steps=4",
                            "train.max_steps=30", options=("--trace",))

        self.assertEqual(done.returncode, 0, done.stderr)
        events = json.loads((self.folder / "r/trace.json").read_text())["traceEvents"]
        self.assertIn("stage weights", {event["name"] for event in events})


if __name__ == "__main__":
    unittest.main()
