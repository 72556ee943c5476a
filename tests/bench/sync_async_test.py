"""bench/system/sync_async.py: what it keeps of a measurement, and how it judges it."""

import contextlib
import io
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

from launching import ROOT

sys.path[:0] = [str(ROOT / "bench/system")]
import sync_async  # noqa: E402


def results_of(async_seconds):
    rows = [{"condition": condition, "mode": mode, "wall_seconds": seconds}
            for condition, mode, seconds in (
                ("even", "sync", 1), ("even", "async", 1), ("slow worker", "sync", 8),
                ("slow worker", "ssp", 9), ("slow worker", "async", async_seconds),
                ("pauses", "sync", 1), ("pauses", "async", 9))]
    return {"commit": "0000000-dirty", "rows": rows}


class SyncAsync(unittest.TestCase):
    def judged(self, async_seconds, smoke=False):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = sync_async.judge(results_of(async_seconds), smoke)
        return code, out.getvalue()

    def test_async_within_the_bound_ends_with_zero(self):
        self.assertEqual(self.judged(6), (
            0, "bound slow worker, async / sync wall time: 0.750 (<= 0.75): met\n"))

    def test_async_beyond_the_bound_ends_with_one_but_for_tiny_sizes(self):
        line = "bound slow worker, async / sync wall time: 0.800 (<= 0.75): missed\n"

        self.assertEqual(self.judged(6.4), (1, line))
        self.assertEqual(self.judged(6.4, smoke=True), (0, line))

    def test_keeps_results_and_plots_with_provenance_and_without_places(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-test-"))
        self.addCleanup(shutil.rmtree, folder)
        measured, out = folder / "measured", folder / "a/b"
        measured.mkdir()
        (measured / "results.json").write_text(json.dumps(results_of(6) | {
            "job": f"{ROOT}/launch/job.toml", "settings": [f"data.train={folder}/data/train"]}))
        (measured / "staleness.png").write_bytes(b"png")

        sync_async.keep(measured, out, folder / "data",
                        {"commit": "1234567", "load_average_before": [0.1, 0.2, 0.3]})

        kept = json.loads((out / "results.json").read_text())
        self.assertEqual(kept["commit"], "1234567")
        self.assertEqual(kept["load_average_before"], [0.1, 0.2, 0.3])
        self.assertEqual(len(kept["load_average_after"]), 3)
        self.assertEqual((kept["job"], kept["settings"]),
                         ("launch/job.toml", ["data.train=DIR/train"]))
        self.assertEqual((out / "staleness.png").read_bytes(), b"png")
