"""The portable bundle as it is unpacked elsewhere: an empty environment, a Python with nothing but its
own library, and the bundle's programs."""

import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

import launching
import zstandard
from launching import ROOT

BUNDLES = ROOT / "build/portable/bundle"
ARCHIVE_BYTES_MAX = 60 << 20
GLIBC = re.compile(r"(ld-linux-x86-64|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nss_\w+))\.so\.\d+")
JOB = "examples/digits.toml"
MODULES = ("ballast-cpu-x86-64-v4.so", "ballast-cpu-x86-64-v3.so")

# Without site-packages: what Debian's packages add to Python is not seen.
BARE_PYTHON = "#!/bin/sh\nexec /usr/bin/python3 -S -I \"$@\"\n"


def unpack(archive, folder):
    with archive.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream, \
            tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder)


class BundleTest(unittest.TestCase):
    """Skipped, naming it, while no bundle was made."""

    @classmethod
    def setUpClass(cls):
        archives = list(BUNDLES.glob("ballast-*.tar.zst"))
        if not archives:
            raise unittest.SkipTest("build/portable/bundle does not exist: launch/build portable "
                                    "--target bundle makes it")
        cls.archive = archives[0]
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="ballast-bundle-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        unpack(cls.archive, cls.shared)
        cls.bundle = cls.shared / cls.archive.name.removesuffix(".tar.zst")
        bin_dir = cls.shared / "bare"
        bin_dir.mkdir()
        (bin_dir / "python3").write_text(BARE_PYTHON)
        (bin_dir / "python3").chmod(0o755)
        cls.environment = {"PATH": f"{bin_dir}:/usr/bin:/bin"}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.shared))
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self):
        left = launching.processes_of(self.shared)
        self.assertFalse(left, "processes were left behind")

    def ballast(self, *words, program="./ballast", cwd=None):
        return subprocess.run([program, *map(str, words)], cwd=cwd or self.bundle,
                              env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120, check=False)

    def train(self, name, *words, **options):
        """-> its summary"""
        done = self.ballast("run", JOB, "--set", "train.epochs=3", "--quiet", "--run-dir",
                            self.folder / name, *words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads((self.folder / name / "summary.json").read_text())

    def without(self, name):
        """The bundle lacks lib/`name` until the test ends."""
        path, aside = self.bundle / "lib" / name, self.shared / name
        path.rename(aside)
        self.addCleanup(aside.rename, path)
        return path

    def best_module(self):
        """The module that this machine's processor takes."""
        log = (self.folder / "r/logs/worker-0.log").read_text()
        return f"ballast-cpu-{re.search(r'device cpu: (x86-64-v[34]),', log).group(1)}.so"


class Contents(BundleTest):
    def test_the_archive_is_small(self):
        if list((self.bundle / "lib").glob("libcublas*")):
            self.skipTest("the bundle has CUDA's libraries")

        self.assertLess(self.archive.stat().st_size, ARCHIVE_BYTES_MAX)

    def test_programs_need_only_the_bundle_and_glibc(self):
        for program in sorted((self.bundle / "bin").iterdir()):
            listing = subprocess.run(["/usr/bin/ldd", program], env={}, capture_output=True, text=True,
                                     check=True).stdout
            for name, path in re.findall(r"^\t(\S+) => (\S+)", listing, re.MULTILINE):
                with self.subTest(program=program.name, library=name):
                    inside = pathlib.Path(os.path.realpath(path)).is_relative_to(self.bundle)
                    self.assertTrue(inside or GLIBC.fullmatch(name), path)

    def test_a_worker_maps_only_the_bundle_and_glibc_and_a_module(self):
        launcher = subprocess.Popen(
            ["./ballast", "run", JOB, "--set", "train.epochs=100000", "--run-dir",
             str(self.folder / "r")], cwd=self.bundle, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(launching.wait_until, lambda: not launching.processes_of(self.folder), "end")
        self.addCleanup(launcher.communicate)
        self.addCleanup(launcher.kill)
        status = self.folder / "r/status.json"
        launching.wait_until(lambda: status.exists() and
                             json.loads(status.read_text()).get("step", 0) > 0, "step 1",
                             launcher=launcher)

        pid = launching.process_of(self.folder, "worker")
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()

        libraries = {pathlib.Path(path) for path in re.findall(r"(/\S+\.so\S*)$", maps, re.MULTILINE)}
        strangers = [path for path in libraries
                     if not (path.is_relative_to(self.bundle) or GLIBC.fullmatch(path.name))]
        self.assertFalse(strangers)
        self.assertTrue({path.name for path in libraries} & set(MODULES), libraries)

    def test_every_library_has_a_licence(self):
        for package in ("libzmq5", "librocksdb7.8", "libstdc++6", "libcurl4", "python3-rich"):
            self.assertTrue((self.bundle / "licences" / package).is_file(), package)


class Training(BundleTest):
    def test_two_runs_with_two_workers_have_the_same_bits(self):
        first, second = self.train("a"), self.train("b")

        self.assertEqual(first["weights_xxh3"], second["weights_xxh3"])
        self.assertGreater(first["metrics"]["test_accuracy"], 0.9)

    def test_the_folder_and_the_launcher_may_be_linked_to(self):
        link, program = self.folder / "link", self.folder / "ballast"
        link.symlink_to(self.bundle)
        program.symlink_to(self.bundle / "ballast")

        by_folder = self.train("a", cwd=link)
        by_program = self.train("b", program=program)

        self.assertEqual(by_folder["weights_xxh3"], by_program["weights_xxh3"])

    def test_a_terminal_shows_a_bar_without_packages_of_the_machine(self):
        screen, terminal = pty.openpty()
        with os.fdopen(screen, "rb", buffering=0) as output:
            launcher = subprocess.Popen(
                ["./ballast", "run", JOB, "--set", "train.epochs=3", "--run-dir",
                 str(self.folder / "r")], cwd=self.bundle,
                env=self.environment | {"TERM": "xterm", "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.STDOUT)
            os.close(terminal)
            shown = b""
            try:
                while part := output.read(1 << 16):
                    shown += part
            except OSError:
                pass  # the terminal was closed
            self.assertEqual(launcher.wait(), 0, shown)
        self.assertIn("━".encode(), shown)

    def test_other_commands_work_without_packages_of_the_machine(self):
        self.train("r")

        compared = self.ballast("compare", self.folder / "r")
        evaluated = self.ballast("evaluate", self.folder / "r", "data/digits/test")

        self.assertEqual((compared.returncode, evaluated.returncode), (0, 0),
                         compared.stderr + evaluated.stderr)


class Errors(BundleTest):
    def test_a_missing_module_is_said_before_anything_starts(self):
        self.train("r")
        path = self.without(self.best_module())

        done = self.ballast("run", JOB, "--run-dir", self.folder / "x")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(f"{path} cannot be used", done.stderr)
        self.assertIn("unpack the bundle again", done.stderr)
        self.assertFalse((self.folder / "x").exists())

    def test_a_module_that_is_none_is_said_too(self):
        self.train("r")
        path = self.without(self.best_module())
        path.write_text("not a library")

        done = self.ballast("run", JOB, "--run-dir", self.folder / "x")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"{path} cannot be used", done.stderr)

    def test_a_missing_program_is_named_with_what_to_do(self):
        path = self.bundle / "bin/ballast-feeder"
        path.rename(self.shared / path.name)
        self.addCleanup((self.shared / path.name).rename, path)

        done = self.ballast("run", JOB, "--run-dir", self.folder / "x")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"ballast-feeder is not in {path.parent}; unpack the bundle again", done.stderr)

    def test_an_old_processor_is_one_line_and_no_signal(self):
        cpuinfo = self.folder / "cpuinfo"
        cpuinfo.write_text("flags\t\t: fpu sse sse2 avx\n")
        start = (f"import pathlib, sys; sys.path.insert(0, {str(self.bundle)!r});"
                 f"from ballast_launcher import bundle, main;"
                 f"bundle.CPUINFO = pathlib.Path({str(cpuinfo)!r});"
                 f"sys.exit(main.main(['run', {JOB!r}]))")

        done = self.ballast("-c", start, program="/usr/bin/python3")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("needs a processor with x86-64-v3", done.stderr)

    def test_plots_and_parquet_name_what_is_missing(self):
        plots = self.ballast("bench", "plots", "x.json")
        parquet = self.ballast("data", "convert", "--format", "parquet", "x", "--out", "y")

        self.assertIn("no plots: No module named 'matplotlib'; install python3-matplotlib",
                      plots.stdout)
        self.assertEqual(parquet.returncode, 2)
        self.assertIn("needs the Python module numpy", parquet.stderr)
