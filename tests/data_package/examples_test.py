"""The examples for Spark and Ray, run where the packages are: put the folder of such a Python first
in PATH. Each partition is committed exactly once, whatever became of its tasks."""

import json
import os
import subprocess

from ballast_data import clean
from data_case import ROOT, DataTest, python_with

HERE = ROOT / "tests/data_package"
ROWS = 4000


class Examples(DataTest):
    def run_tasks(self, script, *packages):
        """-> what each of the three ways committed"""
        python = python_with(*packages)
        paths = f"{ROOT}/launch:{ROOT}/launch/examples"
        done = subprocess.run([python, str(HERE / script), str(self.folder)], cwd=self.folder,
                              capture_output=True, text=True, check=False, timeout=300,
                              env=dict(os.environ, PYTHONPATH=paths, PYSPARK_PYTHON=python,
                                       RAY_AUTH_MODE="disabled", PYTHONDONTWRITEBYTECODE="1"))
        self.assertEqual(done.returncode, 0, done.stderr[-4000:])
        return json.loads(done.stdout.splitlines()[-1])

    def check(self, committed):
        for way, found in zip(("plain", "retried", "twice"), committed, strict=True):
            with self.subTest(way=way):
                self.assertEqual((found["rows"], found["partitions"]), (ROWS, 4))
                self.assertEqual(found["manifest_xxh3"], committed[0]["manifest_xxh3"])
                rows = self.rows_of(self.folder / way)
                self.assertEqual(len(rows), ROWS)
                for number, row in enumerate(rows):
                    x = f"{number % 7} {number % 5} {number % 3}"
                    self.assertEqual(row, {"id": str(number), "x": x, "label": str(number % 4)})
                self.assertEqual(clean(self.folder / way), [])

    def test_spark_commits_each_partition_once_with_retries_and_duplicates(self):
        self.check(self.run_tasks("spark_tasks.py", "pyspark", "pandas", "pyarrow", "xxhash",
                                  "flatbuffers"))

    def test_ray_commits_each_partition_once_with_retries_and_duplicates(self):
        self.check(self.run_tasks("ray_tasks.py", "ray", "xxhash", "flatbuffers"))
