"""What the memory tests share: the sum that the launcher says, and what a process took beside it."""

import random
import re
import shutil

import launching
from process_case import ProcessTest, ROOT

MIB = 1 << 20
UNITS = {"MiB": MIB, "GiB": 1 << 30}
TOLERANCE = 0.10


class MemoryTest(ProcessTest):
    def promised(self, role, *settings, command="run"):
        """What a dry run or `doctor` says that `role` takes -> bytes, the line."""
        words = {"doctor": ("doctor", self.job), "run": ("run", self.job, "--dry-run")}[command]
        done = launching.run(*words, *self.settings(*settings), cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        line = re.search(rf"^memory of a {role} .*", done.stdout, re.M).group(0)
        value, unit = re.search(r"= ([\d.]+) (MiB|GiB)$", line).groups()
        return float(value) * UNITS[unit], line

    def assert_is_promised(self, measured, promised, line, least=None):
        """`least`: what must not be less than the sum, if that is not `measured`."""
        least = measured if least is None else least
        print(f"{measured / MIB:.1f} MiB of {line} -> {measured / promised:.2f}")
        self.assertGreater(least, (1 - TOLERANCE) * promised)
        self.assertLess(measured, (1 + TOLERANCE) * promised)


class GeneratedRowsTest(MemoryTest):
    """With data sets of as many rows as the class says, each `width` values and a label."""

    rows: int
    width: int
    features_type: str
    block_kib: int
    test_rows = 1000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.rmtree(cls.data)
        draw = random.Random(1)
        pool = [",".join(str(draw.randrange(10)) for _ in range(cls.width)) for _ in range(100)]
        for name, rows in (("train", cls.rows), ("test", cls.test_rows)):
            source = cls.shared / f"{name}.csv"
            with open(source, "w", encoding="ascii") as out:
                out.writelines(f"{pool[row % 100]},{row % 10}\n" for row in range(rows))
            done = launching.run("data", "convert", "--format", "csv", source, "--out",
                                 cls.data / name, "--features", "pixels", "--features-type",
                                 cls.features_type, "--block-kib", str(cls.block_kib), cwd=ROOT)
            source.unlink()
            if done.returncode != 0:
                raise AssertionError(done.stderr)
