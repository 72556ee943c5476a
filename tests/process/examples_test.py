"""Examples that ask for more than digits.toml, as they are but for where the data lies."""

import random
import shutil

import launching
from process_case import ProcessTest, ROOT


class Examples(ProcessTest):
    def test_two_sets_with_even_classes(self):
        shutil.copy(ROOT / "launch/examples/digits_mixed.toml", self.job)
        places = (f"data.train={self.data}/train", f"data.mix[0].train={self.data}/test")
        plan = launching.run("data", "plan", self.job, *self.settings(*places), cwd=self.folder)
        summary = self.finish(*places)

        self.assertIn("rows give", plan.stdout)
        accuracy = launching.run("evaluate", self.folder / "r", self.data / "test",
                                 cwd=self.folder).stdout
        self.assertRegex(accuracy, r"accuracy +0\.9")
        # An epoch has as many samples of each of 10 classes as the largest has by the rates.
        self.assertEqual(summary["samples"] % (10 * 10), 0)

    def test_rows_that_name_their_features(self):
        dice = random.Random(7)
        lines = []
        for _ in range(600):
            ids = sorted(dice.sample(range(1, 21), 5))
            label = int(sum(1 for i in ids if i <= 10) >= 3)
            lines.append(f"{label} " + " ".join(f"{i}:1" for i in ids) + "\n")
        source = self.folder / "rows.svm"
        source.write_text("".join(lines))
        made = launching.run("data", "convert", "--format", "libsvm", "--sparse", source, "--out",
                             "sparse", cwd=self.folder)
        self.assertEqual(made.returncode, 0, made.stderr)
        shutil.copy(ROOT / "launch/examples/sparse.toml", self.job)
        self.finish(f"data.train={self.folder}/sparse")

        said = launching.run("evaluate", "r", "sparse", cwd=self.folder).stdout
        self.assertRegex(said, r"accuracy +(1|0\.9)")
