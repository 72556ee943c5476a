"""Slips of somebody new, through the real programs: each is answered in one message that says what
is wrong, where, and what to do."""

import resource
import subprocess

from process_case import BIN_DIR, ProcessTest, ROOT, convert

CSV = ROOT / "tests/data/optdigits.tes.gz"
ROWS = 1797


def tool(*words, **options):
    return subprocess.run([BIN_DIR / "ballast-tool", *map(str, words)], capture_output=True,
                          text=True, check=False, **options)


class Slips(ProcessTest):
    def refusal(self, *words, code=2, **options):
        done = tool(*words, **options)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def rows(self, name, text, *options):
        """A data set made of lines of text."""
        source = self.folder / f"{name}.csv"
        source.write_text(text)
        done = tool("data", "convert", "--format", "csv", source, "--out", self.folder / name,
                    *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.folder / name

    def mix(self, place):
        with self.job.open("a") as job:
            job.write(f'[[data.mix]]\ntrain = "{place}"\n')

    def damaged_copy(self):
        folder = self.folder / "damaged"
        done = convert(CSV, folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        chunk = next(folder.glob("*.blc"))
        damaged = bytearray(chunk.read_bytes())
        damaged[5000] ^= 1
        chunk.write_bytes(damaged)
        return folder

    # ---------------------------------------------------------------- options and commands

    def test_rates_that_are_none_are_refused_in_words(self):
        for rate in ("0", "inf", "nan", "-1", "fast"):
            said = self.refusal("data", "plan", self.job, "--samples-per-second", rate)
            self.assertIn(f"--samples-per-second: a finite number above 0 expected, {rate} found",
                          said)

    def test_a_negative_seed_is_refused(self):
        said = self.refusal("data", "smote", self.data / "test", "--out", self.folder / "more",
                            "--seed", "-1")

        self.assertIn("--seed: a whole number from 0 expected, -1 found", said)

    def test_an_unknown_command_names_the_nearest(self):
        self.assertIn('data: no command "hed"; did you mean "head"?; it has: convert, ',
                      self.refusal("data", "hed"))
        self.assertIn('ballast-tool: no command "evalute"; did you mean "evaluate"?',
                      self.refusal("evalute"))

    def test_columns_that_cannot_be_added_or_dropped_are_one_line(self):
        for words in (("add-column", self.data / "test", "label"),
                      ("drop-column", self.data / "test", "labl")):
            said = self.refusal("data", *words)
            self.assertRegex(said, rf"^ballast-tool: data set {self.data}/test: .*column.*\n$")

    def test_a_column_whose_name_is_no_text_is_refused(self):
        source = self.folder / "latin.csv"
        source.write_bytes(b"gr\xf6\xdfe,label\n1,0\n2,1\n")
        name = b"gr\xf6\xdfe".decode(errors="surrogateescape")
        said = self.refusal("data", "convert", "--format", "csv", "--header", "--label", "label",
                            source, "--out", self.folder / "d", "--column", f"{name}:f32")

        self.assertIn('column "gr\\xf6\\xdfe": a name in UTF-8 expected', said)
        self.assertIn('a name in UTF-8 expected',
                      self.refusal("data", "add-column", self.data / "test", "\udcff"))

    # ---------------------------------------------------------------- what is in the data

    def test_rows_that_all_weigh_nothing_are_refused(self):
        options = ("--column", "w", "--features", "pixels", "--header")
        weighed = self.rows("weighed", "pixels,w,label\n1,0,0\n2,0,1\n", *options)
        settings = ("data.test=", "data.weight=w", "train.lanes=1", "cluster.workers=1")
        said = self.refusal("resolve", self.job, "--dry-run",
                            *self.settings(f"data.train={weighed}", *settings))

        self.assertIn(f'data set {weighed}: data.weight = "w": a row that weighs more than 0 '
                      "expected, none of its 2 does", said)
        self.assertIn("leave data.weight out", said)

        self.finish("train.epochs=1", *settings, "data.train=" + str(
            self.rows("some", "pixels,w,label\n1,0,0\n2,1,1\n", *options)))
        self.assertIn(f"evaluate: data set {weighed}: rows that weigh more than 0 together "
                      "expected, 2 rows of weight 0 found",
                      self.refusal("evaluate", self.folder / "r", weighed))

    def test_too_few_outputs_are_one_problem(self):
        words = self.job.read_text().replace("units = 10\n", "units = 5\n")
        self.job.write_text(words)
        done = tool("doctor", self.job)

        problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")
                    and str(self.data / "test") in line]
        self.assertEqual(len(problems), 1, done.stdout)
        self.assertRegex(problems[0],
                         r" rows have label label = 5, 6, 7, 8, 9: label out of range: found 5, "
                         r"allowed for .* from 0 to 4$")

    def test_damage_names_the_way_out(self):
        folder = self.damaged_copy()
        way_out = f"`ballast data verify {folder} --repair --from COPY` fetches its bad chunks"
        self.assertIn(way_out, self.refusal("data", "verify", folder))
        self.assertIn(way_out, self.refusal("data", "stats", folder))
        self.assertIn(way_out, tool("doctor", self.job, "--set", f"data.test={folder}").stdout)
        for order in ("full", "strip"):
            done = self.run_job(f"data.train={folder}", f"data.order={order}", run_dir=order)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(way_out, done.stderr)

        self.assertEqual(tool("data", "verify", folder, "--repair", "--from",
                              self.data / "test").returncode, 0)

    def test_a_set_that_is_named_twice_is_noted(self):
        same = f"{self.data}/../digits/train"
        self.mix(same)
        for command in (("doctor",), ("data", "plan"), ("resolve", "--dry-run")):
            said = tool(*command, self.job, "--set", f"data.test={same}").stdout
            self.assertEqual(said.count("is the data set of data.train too"), 1, said)
            self.assertIn("has the rows of data.train: metrics say how well they were learned by "
                          "heart", said)

    def test_a_set_of_a_mix_that_is_not_there_is_named_by_its_key(self):
        self.mix(f"{self.folder}/none")
        said = self.refusal("resolve", self.job, "--dry-run")

        self.assertIn(f"data.mix[0].train: data set {self.folder}/none: no such folder", said)

    # ---------------------------------------------------------------- places that take nothing

    def test_a_full_disk_says_what_to_do(self):
        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        out = self.folder / "out"
        for words in (("convert", "--format", "csv", CSV, "--out", out),
                      ("smote", self.data / "train", "--out", out)):
            said = self.refusal("data", *words, code=3, preexec_fn=limited)
            self.assertIn(f"write a file in {out} at byte", said)
            self.assertIn("File too large; raise the limit of file sizes (ulimit -f)", said)

    def test_a_full_disk_under_predictions_names_them(self):
        self.finish("train.epochs=1")
        out = self.folder / "predictions.csv"
        said = self.refusal("predict", self.folder / "r", self.data / "test", "--out", out, code=3,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                  (20000, 20000)))

        self.assertIn(f"predict: nothing of {out} is kept; name a file on another disk", said)
        self.assertFalse(out.exists())

    # ---------------------------------------------------------------- what is said of success

    def test_rows_that_are_added_are_counted_with_those_that_were_there(self):
        words = ("data", "convert", "--format", "csv", CSV, "--out", self.folder / "d")
        self.assertEqual(tool(*words).stdout, f"{self.folder}/d: {ROWS} rows\n")
        self.assertEqual(tool(*words, "--append").stdout,
                         f"{self.folder}/d: {ROWS} rows added, {2 * ROWS} now\n")

    def test_statistics_of_lists_say_why_there_is_no_transform(self):
        source = self.folder / "a.svm"
        source.write_text("1 1:2 3:4\n0 2:1\n")
        tool("data", "convert", "--format", "libsvm", "--sparse", source, "--out",
             self.folder / "sparse")
        said = tool("data", "stats", "--toml", self.folder / "sparse").stdout

        self.assertEqual(said, "".join(
            f"# {name}: lists, which are not standardized; a job takes them by a transform of kind "
            "pad or multi_hot\n" for name in ("ids", "values")))

    def test_a_plan_says_what_balance_makes_of_even_classes(self):
        even = self.rows("even", "1,0\n2,1\n3,0\n4,1\n", "--features", "pixels")
        said = tool("data", "plan", self.job, *self.settings(
            f"data.train={even}", "data.test=", "data.balance=oversample", "train.lanes=1",
            "cluster.workers=1")).stdout

        self.assertIn('sampling        2 values of label are as frequent as each other: balance = '
                      '"oversample" changes nothing', said)
