"""`data convert --format mds` reads what MosaicML Streaming writes, in each packing and encoding.
Tests that write are skipped where the first Python of PATH lacks it."""

import json
import unittest

import data_case
import launching

ROWS = 3000
SHARDS = launching.ROOT / "tests/support/mds_shards.py"


class Mds(data_case.DataTest):

    def write(self, compression=None):
        python = data_case.python_with("streaming", "numpy")
        folder = self.folder / "mds"
        written = launching.run(SHARDS, folder, ROWS, *([compression] if compression else []),
                                cwd=self.folder, program=python)
        self.assertEqual(written.returncode, 0, written.stderr)
        return folder

    def check_rows(self, mds):
        self.tool("convert", "--format", "mds", mds, "--out", self.out, "--threads", 2)
        rows = self.rows_of(self.out)
        self.assertEqual(len(rows), ROWS)
        for i, row in enumerate(rows):
            self.assertEqual(row["blob"], f"[{' '.join(map(str, range(i % 4)))}]")
            self.assertEqual(row["label"], str(i % 3))
            self.assertEqual(float(row["score"]), i / 4)
            self.assertEqual(row["text"], listed("é".encode() * (i % 3) + str(i).encode()))
            self.assertEqual(row["tokens"], listed(k * 1000 + i for k in range(1 + i % 5)))
            self.assertEqual(row["typed"], str(10 ** (i % 18)))
            self.assertEqual(float(row["written"]), i / 8 - 1)

    def test_reads_unpacked_shards(self):
        self.check_rows(self.write())

    def test_reads_zstd_shards(self):
        self.check_rows(self.write("zstd:7"))

    def test_names_a_packing_it_cannot_read(self):
        mds = self.write("snappy")
        done = launching.run("data", "convert", "--format", "mds", mds, "--out", self.out,
                             cwd=self.folder, program=data_case.TOOL)
        self.assertEqual(done.returncode, 2)
        self.assertIn('compressed as "snappy", zstd or gz expected', done.stderr)

    def test_the_golden_shards_are_what_the_package_writes(self):
        mds = json.loads((launching.ROOT / "tests/data/convert/mds_kinds/index.json").read_text())
        self.assertEqual([shard["compression"] for shard in mds["shards"]], ["zstd", "zstd"])
        written = json.loads((self.write("zstd") / "index.json").read_text())
        for key in ("column_names", "column_encodings", "column_sizes"):
            self.assertEqual(mds["shards"][0][key], written["shards"][0][key])


def listed(values):
    return f"[{' '.join(map(str, values))}]"


if __name__ == "__main__":
    unittest.main()
