"""The rules on sources that a machine can check: format, who may include whom, runnable scripts, and
that what is installed is what the README gives a reason for."""

import os
import pathlib
import py_compile
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATED = {"build", "runs", "data", ".git", "__pycache__"}
CPP = {".h", ".cc", ".cu", ".cuh"}

# Folder -> folders it must not include. Everything else follows from the link lines.
FORBIDDEN = {"common": ("server/", "worker/"), "server": ("worker/",), "worker": ("server/",)}

# Vendor -> (how its headers are included, the one folder of the product that may).
VENDORS = {
    "FlatBuffers": (r"flatbuffers/|[a-z_]+_generated\.h", "common/wire"),
    "RocksDB": (r"rocksdb/", "common/storage"),
    "ZeroMQ": (r"zmq(_addon)?\.h", "common/net"),
    "toml++": (r"toml\+\+/|toml\.h", "common/config"),
    "CUDA": (r"cuda|cublas|nvtx", "common/compute/cuda"),
    "curl": (r"curl/", "worker/data/source"),
    "OpenSSL": (r"openssl/", "worker/data/source"),
    "lz4": (r"lz4", "worker/data/codec"),
    "zstd": (r"zstd|zdict", "worker/data/codec"),
}


def sources():
    """Files of the project, tracked or about to be; without git, all but what is generated."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                             capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        names = [ROOT / name for name in listing.stdout.splitlines()]
        return [path for path in names if path.is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and
            not GENERATED & set(path.relative_to(ROOT).parts)]


def includes(path):
    """(line number, header) for each #include of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def first_line(path):
    with path.open("rb") as file:
        return file.readline(200).decode("utf-8", "replace").rstrip("\n")


class SourceRules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = sources()
        cls.cpp = [path for path in cls.files if path.suffix in CPP]

    def folder_of(self, path):
        return path.relative_to(ROOT).parts[0]

    def test_cpp_files_are_formatted_by_clang_format(self):
        names = [str(path) for path in self.cpp]

        checked = subprocess.run(["clang-format", "--dry-run", "--Werror", *names], cwd=ROOT,
                                 capture_output=True, text=True, check=False)

        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", checked.stderr, re.M)))
        wrong = [os.path.relpath(name, ROOT) for name in wrong]
        self.assertFalse(wrong, "run clang-format -i on: " + " ".join(wrong))

    def test_includes_follow_the_direction_of_the_house(self):
        wrong = [f"{path.relative_to(ROOT)}:{number} includes {header}"
                 for path in self.cpp for number, header in includes(path)
                 if header.startswith(FORBIDDEN.get(self.folder_of(path), ("\0",)))]

        self.assertFalse(wrong, "\n".join(wrong))

    def test_each_vendor_header_is_included_in_its_one_folder(self):
        wrong = []
        for path in self.cpp:
            place = path.relative_to(ROOT).as_posix()
            if self.folder_of(path) not in ("common", "server", "worker"):
                continue
            for number, header in includes(path):
                wrong += [f"{place}:{number} includes {header}: {vendor} belongs to {folder}/"
                          for vendor, (pattern, folder) in VENDORS.items()
                          if re.match(pattern, header) and not place.startswith(folder + "/")]

        self.assertFalse(wrong, "\n".join(wrong))

    def test_headers_are_guarded_by_pragma_once(self):
        wrong = [str(path.relative_to(ROOT)) for path in self.cpp if path.suffix in (".h", ".cuh")
                 and "#pragma once" not in path.read_text(encoding="utf-8")
                 and "extern \"C\"" not in path.read_text(encoding="utf-8")]

        self.assertFalse(wrong, "without #pragma once: " + " ".join(wrong))

    def test_scripts_with_an_interpreter_are_executable_and_the_others_are_not(self):
        wrong = []
        for path in self.files:
            has_interpreter = first_line(path).startswith("#!")
            if has_interpreter != os.access(path, os.X_OK):
                what = "not executable" if has_interpreter else "executable without #! line"
                wrong.append(f"{path.relative_to(ROOT)}: {what}")

        self.assertFalse(wrong, "\n".join(wrong))

    def test_python_files_compile(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in self.files:
                if path.suffix == ".py" or first_line(path).endswith("python3"):
                    py_compile.compile(str(path), cfile=os.path.join(folder, "x.pyc"), doraise=True)

    def test_the_readme_gives_a_reason_for_exactly_the_packages_that_are_installed(self):
        told = subprocess.run([ROOT / "launch/install-packages", "--list"], capture_output=True,
                              text=True, check=True)
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        table = readme.partition("\n## Dependencies\n")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (.+?) \| .+ \|$", table, re.M)[1:]  # the first is the heading

        self.assertEqual(sorted(told.stdout.split()),
                         sorted(name for row in rows for name in row.split(", ")))

    def test_shell_files_parse(self):
        for path in self.files:
            if re.match(r"#!.*\b(ba)?sh$", first_line(path)):
                checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True,
                                         check=False)
                self.assertEqual(checked.returncode, 0, checked.stderr)
