"""bench/run: which benches there are, and what it says of a missed bound."""

import argparse
import importlib.machinery
import importlib.util
import sys
import unittest

from launching import ROOT

sys.path.append(str(ROOT / "bench"))
LOADER = importlib.machinery.SourceFileLoader("bench_run", str(ROOT / "bench/run"))
bench_run = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", LOADER))
LOADER.exec_module(bench_run)


class Run(unittest.TestCase):
    def test_knows_every_bench_of_the_table(self):
        page = (ROOT / "bench/README.md").read_text(encoding="utf-8")
        rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]

        rows.remove("gpu/run")  # by itself, on another machine
        known = (*bench_run.MICRO, *bench_run.PEERS, *bench_run.SYSTEM, *bench_run.TESTS)

        self.assertEqual(sorted(row.rpartition("/")[2] for row in rows), sorted(known))

    def test_every_script_it_runs_is_there(self):
        for name in (*bench_run.PEERS, *bench_run.SYSTEM, *bench_run.TESTS):
            for word in bench_run.command_of(name).split():
                self.assertTrue((ROOT / word).is_file(), word)

    def test_takes_a_script_with_and_without_its_suffix(self):
        self.assertEqual(bench_run.full_name("sync_async"), "sync_async.py")
        self.assertEqual(bench_run.full_name("sync_async.py"), "sync_async.py")
        self.assertEqual(bench_run.full_name("apply_bench"), "apply_bench")
        with self.assertRaisesRegex(argparse.ArgumentTypeError, "'apply' is no bench; known: "):
            bench_run.full_name("apply")

    def test_runs_what_needs_data_only_with_data(self):
        without, with_data = bench_run.all_that_can_run(None), bench_run.all_that_can_run("d")

        self.assertEqual(set(with_data) - set(without),
                         {"accuracy.py", "steps_in_flight.py", "sync_async.py"})
        self.assertIn("memory_test.py", without)

    def test_names_the_bounds_that_were_missed(self):
        output = ["bound speed: 0.500 (>= 0.7): missed", "bound time: 1.000 (<= 1.5): met",
                  "what was missed"]

        self.assertEqual(bench_run.missed(output), output[:1])
