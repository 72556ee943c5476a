"""bench/gpu/run without a GPU: what it says then, what it records and where, how it reads a
trace, what it holds against what."""

import argparse
import importlib.machinery
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from launching import ROOT

sys.path[:0] = [str(ROOT / "bench" / part) for part in ("gpu", "system", ".")]
from bounds import Bounds  # noqa: E402
from programs import Programs, Wrong  # noqa: E402
from record import Record, card_of  # noqa: E402
from servers import FULL, SMOKE, Pace, Servers, write_npy  # noqa: E402
from worker_spans import Intervals, WorkerSpans, union  # noqa: E402


def script(name, path):
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


bench_run = script("bench_run", "bench/run")
gpu_run = script("gpu_run", "bench/gpu/run")


class GpuCase(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-test-"))
        self.addCleanup(shutil.rmtree, self.folder)


class Records(GpuCase):
    def setUp(self):
        super().setUp()
        self.record = Record(Bounds(smoke=True), "a card, 80 GB, driver 1")
        self.record.add("bf16: add", 2000.0, "GB/s")
        self.record.add("bf16: dropout", 1500.0, "GB/s")
        with mock.patch("builtins.print"):
            self.record.bounds.at_least("speed", 0.5, 0.7)

    def test_one_of_a_gpu_stands_on_the_page_of_all_results(self):
        self.record.write(self.folder / "gpu.json", "bench/gpu/run", "abc1234")

        with mock.patch.object(bench_run, "RESULTS", self.folder):
            bench_run.write_page()

        page = (self.folder / "README.md").read_text(encoding="utf-8")
        self.assertIn("`bench/gpu/run` at abc1234, ", page)
        self.assertIn("a card, 80 GB, driver 1, load average ", page)
        self.assertRegex(page, r"\nbf16: dropout +1500\.000 GB/s +0\.75 of the card's\n")
        self.assertIn("\nbound speed: 0.500 (>= 0.7): missed\n", page)

    def test_bounds_are_in_it_by_name(self):
        self.record.write(self.folder / "gpu.json", "bench/gpu/run", "abc1234")

        told = json.loads((self.folder / "gpu.json").read_text(encoding="utf-8"))

        self.assertEqual(told["bounds"], [{"name": "speed", "value": 0.5, "relation": ">=",
                                           "bound": 0.7, "met": False}])

    def test_shares_are_of_the_same_call_or_are_not_there(self):
        self.record.add("bf16: forward", 400.0, "TFLOP/s")
        self.record.add("bf16: upload", 40.0, "GB/s")

        self.assertEqual(self.record.share("bf16: dropout"), 0.75)
        self.assertIsNone(self.record.share("bf16: forward"))
        self.assertIsNone(self.record.share("bf16: upload"))
        self.record.add("bf16: torch, product", 800.0, "TFLOP/s")
        self.assertEqual(self.record.share("bf16: forward"), 0.5)


class DefaultFile(GpuCase):
    def written(self, wrong=(), only=None, smoke=False):
        """Whether a call that came to this end wrote the default file."""
        options = argparse.Namespace(source=None, device="cuda", smoke=smoke, only=only, out=None)
        gpu = gpu_run.Gpu(options, "a card")
        gpu.record.wrong += wrong
        with mock.patch.object(gpu_run, "ROOT", self.folder):
            gpu.write()
        return (self.folder / "bench/results/gpu.json").is_file()

    def test_is_written_by_a_whole_call_in_which_nothing_was_wrong(self):
        self.assertTrue(self.written())

    def test_is_left_alone_by_any_other(self):
        self.assertFalse(self.written(wrong=["bits: 2 different weights"]))
        self.assertFalse(self.written(only=["device"]))
        self.assertFalse(self.written(smoke=True))


class Card(GpuCase):
    def test_none_is_one_line_before_anything_is_done(self):
        for nvidia_smi in (None, "#!/bin/sh\necho no driver; exit 9\n"):
            if nvidia_smi:
                (self.folder / "nvidia-smi").write_text(nvidia_smi)
                (self.folder / "nvidia-smi").chmod(0o755)

            done = subprocess.run([sys.executable, ROOT / "bench/gpu/run"], capture_output=True,
                                  text=True, env={"PATH": str(self.folder)}, check=False)

            self.assertEqual((done.returncode, done.stdout), (2, ""))
            found = "no driver" if nvidia_smi else "No such file or directory"
            self.assertRegex(done.stderr, f"^gpu/run: looking for a GPU: .* found: {found}; .*\n$")

    def test_of_a_gpu_that_the_processor_plays_is_a_file(self):
        (self.folder / "card").write_text("emulated\n")

        self.assertEqual(card_of("cuda", self.folder), "emulated")


class Times(GpuCase):
    def test_are_joined_and_cut(self):
        busy = union([(4, 6), (0, 2), (1, 3)])

        self.assertEqual(busy.pairs, [(0, 3), (4, 6)])
        self.assertEqual((busy & Intervals([(2, 5)])).pairs, [(2, 3), (4, 5)])
        self.assertEqual((busy | union([(3, 4)])).pairs, [(0, 6)])
        self.assertEqual(busy.seconds(), 5)

    def test_are_those_of_the_first_worker(self):
        def about(pid, name, tid, text):
            return {"name": name, "ph": "M", "pid": pid, "tid": tid, "args": {"name": text}}

        def span(tid, name, begin, end, pid=1):
            return {"name": name, "ph": "X", "pid": pid, "tid": tid, "ts": begin * 1e6,
                    "dur": (end - begin) * 1e6}
        events = [about(1, "process_name", 0, "worker 0"), about(1, "thread_name", 1, "compute"),
                  about(1, "thread_name", 2, "device"),
                  about(1, "thread_name", 3, "device downloads"),
                  about(2, "process_name", 0, "server 0"), about(2, "thread_name", 2, "device"),
                  span(1, "step", 0, 4), span(1, "step", 4, 8), span(2, "forward", 1, 3),
                  span(2, "backward", 5, 7), span(3, "download", 2, 6), span(2, "apply", 0, 9, 2)]
        (self.folder / "trace.json").write_text(
            json.dumps({"traceEvents": events, "otherData": {"left_out": []}}))

        spans = WorkerSpans(self.folder)
        computing, copying = spans.computing((0, 6)), spans.copying((0, 6))

        self.assertEqual(spans.step_begins(), [0, 4])
        self.assertEqual(computing.seconds(), 3)
        self.assertEqual((copying & computing).seconds(), 2)


class JobWithServers(GpuCase):
    def test_has_one_epoch_of_all_its_pushes(self):
        for size in (FULL, SMOKE):
            for batch in (size.batch, size.few_rows):
                for local_steps in size.local_steps:
                    text = size.job("d", batch, local_steps)
                    rate = float(text.partition("\nrate = ")[2].partition("\n")[0])
                    self.assertEqual(rate * size.rows, size.pushes * local_steps * batch)

    def test_reads_rows_in_the_format_of_numpy(self):
        import numpy

        write_npy(self.folder / "x.npy", "|u1", (2, 3), bytes(range(6)))

        self.assertEqual(numpy.load(self.folder / "x.npy").tolist(), [[0, 1, 2], [3, 4, 5]])


class Bars(GpuCase):
    """What is held against what, with figures made up."""

    def setUp(self):
        super().setUp()
        self.record = Record(Bounds(), "a card")
        quiet = mock.patch("builtins.print")
        quiet.start()
        self.addCleanup(quiet.stop)

    def values(self):
        return {judged["name"]: round(judged["value"], 3) for judged in self.record.bounds.judged}

    def measure_servers(self):
        """Exchanges of 0.4 s, 0.1 s of each beside nothing."""
        def pace(servers, precision, batch, local_steps):
            alone = 40960 if precision == "fp32" else 409600
            computing = batch * local_steps / alone
            spans = mock.Mock(computing=lambda _: union([(0, 3)]),
                              copying=lambda _: union([(2, 4)]), writing_trace=lambda _: union([]))
            return Pace(0.4 if batch == FULL.few_rows else max(computing, 0.4) + 0.1, 1.4e9, spans,
                        (0, 4))
        with mock.patch.multiple(Servers, _pace=pace, _make_data=lambda servers: None):
            Servers(Programs(None, "cuda", False), self.record).run()

    def test_of_servers_are_the_step_without_and_the_longer_of_computing_and_exchange(self):
        self.record.add("fp32: step of large MLP, gradients stay", 40960.0, "samples/s")
        self.record.add("bf16: step of large MLP, gradients stay", 409600.0, "samples/s")

        self.measure_servers()

        name = "servers, bf16, local_steps = {} / prediction"
        self.assertEqual(self.values(), {
            "servers, fp32, local_steps = 8 / without servers": round(0.8 / 0.9, 3),
            name.format(1): 0.8, name.format(8): 0.8, name.format(32): 0.8,
            name.format(128): round(1.28 / 1.38, 3)})
        self.assertEqual(self.record.value("servers, exchange"), 3.5)
        self.assertEqual(self.record.value("servers, bf16, local_steps = 8, device computes"), 0.75)
        self.assertEqual(
            self.record.value("servers, bf16, local_steps = 8, copies beside computing"), 0.5)
        share = "servers, bf16, local_steps = {}, predicted share of computing"
        self.assertAlmostEqual(self.record.value(share.format(8)), 0.2)
        self.assertEqual(self.record.value(share.format(128)), 1)

    def test_of_servers_want_the_figures_of_the_device(self):
        with self.assertRaisesRegex(Wrong, "no figure of bf16: .* run the stages device and "):
            self.measure_servers()

        self.assertIsNotNone(self.record.value("servers, bf16, local_steps = 128"))

    def test_of_torch_are_its_networks_and_its_product(self):
        options = argparse.Namespace(source=None, device="cuda", smoke=False, python="python3")
        gpu = gpu_run.Gpu(options, "a card")
        gpu.record = self.record
        self.record.add("bf16: step of large MLP, gradients stay", 500000.0, "samples/s")
        self.record.add("fp32: step of small MLP, gradients stay", 9e6, "samples/s")
        lines = ("bf16: torch, product   800 TFLOP/s", "bf16: torch, large MLP   500000 samples/s",
                 "fp32: torch, small MLP   1000000 samples/s",
                 "fp32: torch graph, small MLP   6000000 samples/s")
        gpu.programs.script = lambda *_: "\n".join(lines)

        gpu.torch()

        operations = 4 * 4096 * 8192 + 6 * (2 * 8192 * 8192 + 8192 * 1000)
        self.assertEqual(list(self.values().values()),
                         [1, round(500000 * operations / 800e12, 3), 9, 1.5])


if __name__ == "__main__":
    unittest.main()
