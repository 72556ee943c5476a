"""The bounds of the benches in Python: the same lines and exit codes as those in C++."""

import contextlib
import io
import sys
import unittest

from launching import ROOT

sys.path.append(str(ROOT / "bench"))
from bounds import Bounds  # noqa: E402


def printed(judge, bounds):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        judge(bounds)
    return out.getvalue()


class BoundsTest(unittest.TestCase):
    def test_all_met_ends_with_zero_and_a_line_for_each(self):
        bounds = Bounds()

        text = printed(lambda b: (b.at_least("speed", 0.7, 0.7), b.at_most("time", 1.25, 1.5)),
                       bounds)

        self.assertEqual(text, "bound speed: 0.700 (>= 0.7): met\n"
                               "bound time: 1.250 (<= 1.5): met\n")
        self.assertEqual(bounds.exit_code(), 0)
        self.assertEqual(bounds.lines, text.splitlines())
        self.assertEqual([(judged["name"], judged["met"]) for judged in bounds.judged],
                         [("speed", True), ("time", True)])

    def test_one_missed_ends_with_one(self):
        for judge, line in ((lambda b: b.at_least("speed", 0.5, 0.7), "0.500 (>= 0.7)"),
                            (lambda b: b.at_most("time", 1.6, 1.5), "1.600 (<= 1.5)"),
                            (lambda b: b.at_most("time", float("nan"), 1.5), "nan (<= 1.5)")):
            bounds = Bounds()

            text = printed(lambda b, judge=judge: (judge(b), b.at_least("other", 2, 1)), bounds)

            self.assertIn(f"{line}: missed\n", text)
            self.assertEqual(bounds.exit_code(), 1)

    def test_tiny_sizes_are_not_judged(self):
        bounds = Bounds(smoke=True)

        text = printed(lambda b: b.at_least("speed", 0.5, 0.7), bounds)

        self.assertEqual((text, bounds.exit_code()), ("bound speed: 0.500 (>= 0.7): missed\n", 0))
