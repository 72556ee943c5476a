"""What the tests of ballast_data share: a folder, and what ballast-tool says of data sets in it."""

import functools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import launching
from launching import ROOT

TOOL = ROOT / "build/release/bin/ballast-tool"


@functools.cache
def first_python(packages):
    """The first Python of PATH, if it has all of them."""
    python = shutil.which("python3") or sys.executable
    found = subprocess.run([python, "-c", f"import {', '.join(packages)}"], capture_output=True,
                           text=True, check=False)
    return None if found.returncode else python


def python_with(*packages):
    """The same; without them the test is skipped."""
    python = first_python(packages)
    if python:
        return python
    raise unittest.SkipTest(f"{packages[0]}: not in the first python3 of PATH, or not all it needs "
                            f"({', '.join(packages[1:])})")


class DataTest(unittest.TestCase):
    """Skipped, naming it, while ballast-tool is not built."""

    @classmethod
    def setUpClass(cls):
        if not TOOL.is_file():
            raise unittest.SkipTest(f"ballast-tool is not in {TOOL.parent.relative_to(ROOT)}")

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-data-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"

    def tool(self, *words):
        """-> stdout of `ballast-tool data ...`, which must go well."""
        done = launching.run("data", *words, cwd=self.folder, program=TOOL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def rows_of(self, folder, count=1 << 20):
        """Verifies every byte -> [{column: text of its values}], as the C++ reader sees them."""
        self.tool("verify", folder)
        rows = []
        for line in self.tool("head", folder, "-n", count).splitlines():
            if line.startswith("row "):
                rows.append({})
            else:
                name, _, values = line.strip().partition(": ")
                rows[-1][name] = values
        return rows

    def column(self, folder, name):
        """The whole numbers of one column, in row order."""
        return [int(row[name]) for row in self.rows_of(folder)]

    def files_of(self, folder):
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
