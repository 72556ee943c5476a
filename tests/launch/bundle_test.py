"""What the launcher of a bundle asks of a machine, from texts as machines give them. (A real bundle:
tests/process/bundle_test.py.)"""

import json
import pathlib
import tempfile
import unittest

from ballast_launcher import bundle
from ballast_launcher.errors import LauncherError

HASWELL = ("flags\t\t: fpu sse sse2 pni ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c "
           "lahf_lm abm bmi1 avx2 bmi2\n")
IVY_BRIDGE = "flags\t\t: fpu sse sse2 pni ssse3 cx16 sse4_1 sse4_2 popcnt aes xsave avx f16c lahf_lm\n"
FACTS = {"version": "0.1.0", "commit": "abc", "processor": "x86-64-v3", "glibc": "2.36"}


class Processor(unittest.TestCase):
    def test_with_every_instruction_is_taken(self):
        bundle.check_processor("x86-64-v3", "processor\t: 0\n" + HASWELL)

    def test_without_some_is_refused_in_one_line_that_names_them(self):
        with self.assertRaises(LauncherError) as caught:
            bundle.check_processor("x86-64-v3", IVY_BRIDGE)

        self.assertRegex(str(caught.exception), "needs a processor with x86-64-v3 .*lacks abm, avx2, "
                         "bmi1, bmi2, fma, movbe; run it on another machine, or build")
        self.assertNotIn("\n", str(caught.exception))

    def test_that_is_not_told_is_taken(self):
        bundle.check_processor("x86-64-v3", "")


class Glibc(unittest.TestCase):
    def test_as_new_as_asked_or_newer_is_taken(self):
        for found in ("glibc 2.36", "glibc 2.41", "glibc 3.0"):
            bundle.check_glibc("2.36", found)

    def test_older_or_another_library_is_refused_with_both_versions(self):
        for found, words in (("glibc 2.35", "has glibc 2.35"), ("glibc 2.4", "has glibc 2.4"),
                             (None, "has another C library")):
            with self.subTest(found=found):
                with self.assertRaisesRegex(LauncherError, f"needs glibc 2.36 or newer.*{words};"):
                    bundle.check_glibc("2.36", found)


class Facts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.folder / "bundle.json"

    def test_a_checkout_has_none(self):
        self.assertIsNone(bundle.find(self.path))
        self.assertIsNone(bundle.find())

    def test_a_bundle_is_the_folder_of_its_facts(self):
        self.path.write_text(json.dumps(FACTS))

        self.assertEqual(bundle.find(self.path).bin_dir, self.folder / "bin")

    def test_damaged_facts_are_one_error_with_their_path(self):
        for content in ("", "{", "[]", "{}", "1"):
            with self.subTest(content=content):
                self.path.write_text(content)

                with self.assertRaisesRegex(LauncherError, "bundle.json: damaged .*unpack"):
                    bundle.find(self.path)
