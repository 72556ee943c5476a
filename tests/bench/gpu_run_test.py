"""bench/gpu/run without a GPU: what it says then, what it records and where."""

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
from record import Record, card_of  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
