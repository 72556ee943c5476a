"""What the maker of bundles (cmake/bundle.py) refuses, with programs of one line."""

import importlib.util
import pathlib
import subprocess
import tempfile
import unittest

from launching import ROOT

RPATH = "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"


def load():
    spec = importlib.util.spec_from_file_location("bundle_maker", ROOT / "cmake/bundle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load()


class Checks(unittest.TestCase):
    def setUp(self):
        self.bundle = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ("bin", "lib", "python"):
            (self.bundle / name).mkdir()

    def compile(self, path, *options):
        subprocess.run(["cc", "-x", "c", "-", "-o", self.bundle / path, *options], check=True,
                       input="#include <math.h>\n#include <stdio.h>\n"
                             "int main(void) { return printf(\"%f\", sin(getchar())); }\n", text=True)

    def refusal(self):
        with self.assertRaises(maker.BundleError) as caught:
            maker.check_elf(self.bundle)
        return str(caught.exception)

    def test_a_program_that_needs_glibc_alone_passes_with_the_version_it_needs(self):
        self.compile("bin/x", RPATH, "-lm")

        least = maker.check_elf(self.bundle)

        self.assertTrue((2, 2) <= least <= maker.GLIBC_MAX, least)

    def test_too_large_an_archive_is_refused_and_removed(self):
        self.addCleanup(setattr, maker, "ARCHIVE_BYTES_MAX", maker.ARCHIVE_BYTES_MAX)
        maker.ARCHIVE_BYTES_MAX = 10
        archive = self.bundle / "b.tar.zst"
        archive.write_bytes(bytes(10))
        maker.check_archive(archive)
        archive.write_bytes(bytes(11))

        with self.assertRaisesRegex(maker.BundleError, "11 bytes, at most 10 expected"):
            maker.check_archive(archive)

        self.assertFalse(archive.exists())

    def test_a_newer_glibc_than_promised_is_refused(self):
        self.compile("bin/x", RPATH, "-lm")
        self.addCleanup(setattr, maker, "GLIBC_MAX", maker.GLIBC_MAX)
        maker.GLIBC_MAX = (2, 3)

        self.assertRegex(self.refusal(), r"bin/x needs GLIBC_2\.\d+; at most GLIBC_2.3 expected")

    def test_a_library_that_is_in_neither_place_is_refused_and_one_in_lib_is_not(self):
        self.compile("bin/x", RPATH, "-lm", "-Wl,--no-as-needed", "-lz")
        self.assertRegex(self.refusal(), "bin/x needs libz.so.1: expected in lib/")

        self.compile("lib/libz.so.1", "-shared", "-fPIC", "-lm")
        maker.check_elf(self.bundle)

    def test_a_program_that_would_look_elsewhere_is_refused(self):
        for options in ((), ("-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib",),
                        ("-Wl,--disable-new-dtags,-rpath,/opt/lib",)):
            with self.subTest(options=options):
                self.compile("bin/x", "-lm", *options)

                self.assertIn("bin/x: search path [('RPATH', '$ORIGIN/../lib')] expected",
                              self.refusal())

    def test_compiled_code_beside_bin_and_lib_is_refused(self):
        self.compile("python/x.so", "-lm")

        with self.assertRaisesRegex(maker.BundleError, "python/x.so: no compiled code expected"):
            maker.check_python(self.bundle)
