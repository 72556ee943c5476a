"""The commit of a record: marked dirty by what can change a figure, and by nothing else."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from launching import ROOT

sys.path.append(str(ROOT / "bench"))
import provenance  # noqa: E402


class Commit(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ballast-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        for name in ("common/a.cc", "bench/run", "bench/README.md", "README.md",
                     "bench/results/README.md", "bench/results/apply_bench.json"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text("before\n")
        for words in (("init", "-q"), ("add", "."),
                      ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "c")):
            subprocess.run(["git", *words], cwd=self.root, check=True)
        self.clean = provenance.commit(self.root)

    def test_is_that_of_head(self):
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.root, capture_output=True,
                              text=True, check=True).stdout

        self.assertGreaterEqual(len(self.clean), 7)
        self.assertTrue(head.startswith(self.clean))

    def test_stays_clean_when_results_and_pages_change(self):
        for name in ("README.md", "bench/README.md", "bench/results/README.md",
                     "bench/results/apply_bench.json"):
            (self.root / name).write_text("after\n")

            self.assertEqual(provenance.commit(self.root), self.clean, name)

    def test_is_dirty_when_a_source_changes(self):
        for name in ("common/a.cc", "bench/run"):
            (self.root / name).write_text("after\n")

            self.assertEqual(provenance.commit(self.root), self.clean + "-dirty", name)

            (self.root / name).write_text("before\n")

    def test_is_unknown_without_git(self):
        shutil.rmtree(self.root / ".git")

        self.assertEqual(provenance.commit(self.root), "unknown")
