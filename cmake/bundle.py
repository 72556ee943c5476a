"""Makes the portable bundle of a built preset: a folder, and beside it the same as .tar.zst, that runs
where there is nothing but glibc and Python. Called by the target `bundle`.

    bin/ lib/           the programs; every library they need but glibc's own, found by DT_RPATH
    ballast             the launcher, with ballast_launcher/, ballast_data/ and python/ (rich)
    examples/ data/     job files and the digits in chunk files
    licences/           of what was copied
    bundle.json         what it was made of and what it asks of a machine (ballast_launcher/bundle.py)

C extensions of Python are not copied: each fits one version of Python only.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = ("ballast-tool", "ballast-coordinator", "ballast-server", "ballast-worker",
            "ballast-feeder")
PROCESSOR = "x86-64-v3"  # the least that runs it
PYTHON = "3.11"
GLIBC_MAX = (2, 36)  # Debian 12
ARCHIVE_BYTES_MAX = 60 << 20  # without CUDA's libraries

# They belong to the system's loader and must be of one version with it.
GLIBC = re.compile(r"(ld-linux-x86-64|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nss_\w+))\.so\.\d+")

# Debian packages whose code is inside our programs.
COMPILED_IN = ("libcli11-dev", "libflatbuffers-dev", "libspdlog-dev", "libtomlplusplus-dev",
               "libxxhash-dev", "libzmq3-dev")
# All that the launcher takes of rich works without what rich's package depends on.
PYTHON_MODULES = {"rich": "python3-rich"}

# What the examples say of a checkout, as it is in a bundle.
IN_EXAMPLES = (("PYTHONPATH=launch ", "PYTHONPATH=. "), ("launch/examples/", "examples/"),
               ("launch/ballast ", "./ballast "), ("#   ballast ", "#   ./ballast "),
               ("tests/data/", "data/"), ("(launch/quickstart does it)", "(it is done)"),
               ("needs nothing but launch/quickstart", "needs nothing else"))


class BundleError(Exception):
    """One sentence: what, where, expected, found, what to do."""


def output_of(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, **options)
    if done.returncode:
        raise BundleError(f"{' '.join(map(str, command))} failed ({done.returncode}): "
                          f"{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def is_elf(path):
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


# ---------------------------------------------------------------- programs and libraries

def copy_stripped(source, target):
    if not source.is_file():
        raise BundleError(f"{source}: not built; build the target bundle, which builds it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    output_of("strip", "--strip-unneeded", "-o", target, source)
    target.chmod(0o755)


def libraries_of(paths):
    """{name: file} of all that they need, directly or not, but glibc's own."""
    found = {}
    for path in paths:
        for line in output_of("ldd", path).splitlines():
            name, _, rest = line.strip().partition(" => ")
            if not rest or GLIBC.fullmatch(name):
                continue
            if rest == "not found":
                raise BundleError(f"{path.name} needs {name}, which is not on this machine; run "
                                  "launch/install-packages")
            found[name] = pathlib.Path(rest.rpartition(" (")[0])
    return found


def stage_programs(build, bundle):
    for name in PROGRAMS:
        copy_stripped(build / "bin" / name, bundle / "bin" / name)
    for module in sorted((build / "lib").glob("ballast-cpu-*.so")):
        copy_stripped(module, bundle / "lib" / module.name)


def stage_libraries(bundle):
    """-> the files that were copied."""
    found = libraries_of([*(bundle / "bin").iterdir(), *(bundle / "lib").iterdir()])
    for name, path in found.items():
        copy_library(path, bundle / "lib" / name)
    return list(found.values())


def copy_library(path, target):
    shutil.copy(path.resolve(), target)
    target.chmod(0o644)


def stage_cublas(libraries, bundle):
    """What a program loads by name when it opens a GPU (common/compute/cuda/cublas_library.h)."""
    found = sorted(libraries.glob("libcublasLt.so.[0-9]*"), key=lambda path: len(path.name))
    if not found:
        raise BundleError(f"{libraries}: libcublasLt expected for --with-cuda-libs, none found; "
                          "install CUDA's libraries, or leave the option out")
    copy_library(found[0], bundle / "lib" / found[0].name)


# ---------------------------------------------------------------- what is not compiled

def stage_launcher(bundle):
    text = (ROOT / "launch/ballast").read_text(encoding="utf-8")
    # Debian's Python is a checkout's; a bundle brings its packages, so that any python3 will do.
    first, _, rest = text.partition("\n")
    if first != "#!/usr/bin/python3":
        raise BundleError(f"launch/ballast: '#!/usr/bin/python3' expected, {first!r} found; change "
                          "cmake/bundle.py with it")
    (bundle / "ballast").write_text("#!/usr/bin/env python3\n" + rest, encoding="utf-8")
    (bundle / "ballast").chmod(0o755)
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in ("ballast_launcher", "ballast_data"):
        shutil.copytree(ROOT / "launch" / name, bundle / name, ignore=leave_out)
    for name in PYTHON_MODULES:
        source = pathlib.Path("/usr/lib/python3/dist-packages") / name
        if not source.is_dir():
            raise BundleError(f"{source}: no such folder; run launch/install-packages")
        shutil.copytree(source, bundle / "python" / name, ignore=leave_out)


def stage_examples(bundle):
    (bundle / "examples").mkdir()
    for source in sorted((ROOT / "launch/examples").iterdir()):
        text = source.read_text(encoding="utf-8")
        for old, new in IN_EXAMPLES:
            text = text.replace(old, new)
        (bundle / "examples" / source.name).write_text(text, encoding="utf-8")
        shutil.copymode(source, bundle / "examples" / source.name)


def stage_data(bundle):
    """The digits as they come, and as launch/quickstart converts them."""
    (bundle / "data").mkdir()
    for source, name in (("optdigits.tra.gz", "train"), ("optdigits.tes.gz", "test")):
        shutil.copy(ROOT / "tests/data" / source, bundle / "data")
        output_of(bundle / "bin/ballast-tool", "data", "convert", "--format", "csv",
                  bundle / "data" / source, "--out", bundle / "data/digits" / name, "--features",
                  "pixels", "--features-type", "u8", env={})


def package_of(path):
    """The Debian package of a file, which may be listed as it was before /usr was merged."""
    for place in (path, path.resolve()):
        for name in (str(place), str(place).removeprefix("/usr"), "/usr" + str(place)):
            done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True,
                                  check=False)
            if done.returncode == 0:
                return done.stdout.partition(":")[0]
    return None


def stage_cuda_licence(libraries, folder):
    """From above the folder of CUDA's libraries, as NVIDIA's Python packages or its installer have it,
    or from the Debian package."""
    places = ("dist-info/nvidia_cuda_runtime-*/licenses/*", "EULA.txt")
    found = [path for parent in libraries.resolve().parents[:3] for place in places
             for path in sorted(parent.glob(place))]
    package = package_of(libraries / "libcudart_static.a")
    if not found and package:
        found = [pathlib.Path("/usr/share/doc") / package / "copyright"]
    if not found:
        raise BundleError(f"{libraries}: CUDA's licence expected above it as {' or '.join(places)}, none "
                          "found; put it there, or build with -DBALLAST_CUDA=OFF")
    shutil.copy(found[0], folder / "cuda")


def stage_licences(bundle, libraries, cuda_libraries):
    folder = bundle / "licences"
    folder.mkdir()
    if cuda_libraries:
        stage_cuda_licence(cuda_libraries, folder)
    packages = {*COMPILED_IN, *PYTHON_MODULES.values()}
    for path in libraries:
        package = package_of(path)
        if not package:
            raise BundleError(f"{path}: it belongs to no Debian package, so its licence is unknown; "
                              "build with Debian's packages (launch/install-packages)")
        packages.add(package)
    for package in sorted(packages):
        shutil.copy(pathlib.Path("/usr/share/doc") / package / "copyright", folder / package)


def stage_words(bundle, version, glibc, cuda):
    facts = {"version": version, "commit": commit(), "processor": PROCESSOR, "python": PYTHON,
             "glibc": ".".join(map(str, glibc)), "cuda": cuda}
    (bundle / "bundle.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    text = (ROOT / "cmake/bundle_readme.md").read_text(encoding="utf-8")
    for name, value in facts.items():
        text = text.replace("{" + name + "}", str(value))
    (bundle / "README.md").write_text(text, encoding="utf-8")


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def commit():
    return git("describe", "--always", "--dirty") or "unknown"


# ---------------------------------------------------------------- checks

def needs(path):
    """(libraries, versions of glibc's symbols, search paths) that an ELF file names."""
    dynamic = output_of("readelf", "-dW", path)
    libraries = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
    versions = re.findall(r"Name: (GLIBC_\S+)", output_of("readelf", "-VW", path))
    return libraries, versions, re.findall(r"\((RPATH|RUNPATH)\).*\[(.*)\]", dynamic)


def number_of(path, version):
    """"GLIBC_2.34" -> (2, 34)"""
    match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", version)
    if not match:
        raise BundleError(f"{path}: it needs {version} of glibc, which is no version; link it without")
    return int(match[1]), int(match[2])


def check_elf(bundle):
    """-> the least glibc that has all that is needed."""
    there = {path.name for path in (bundle / "lib").iterdir()}
    least = (2, 0)
    for path in sorted([*(bundle / "bin").iterdir(), *(bundle / "lib").iterdir()]):
        where = path.relative_to(bundle)
        libraries, versions, searched = needs(path)
        expected = [("RPATH", "$ORIGIN/../lib")] if path.parent.name == "bin" else []
        # CUDA's own name their folder, which is lib/ here.
        if searched not in (expected, [("RUNPATH", "$ORIGIN")]):
            raise BundleError(f"{where}: search path {expected} expected, {searched} found; it would "
                              "look for libraries outside the bundle")
        for library in libraries:
            if library not in there and not GLIBC.fullmatch(library):
                raise BundleError(f"{where} needs {library}: expected in lib/ or glibc's own, in "
                                  "neither; add it to cmake/bundle.py")
        for version in versions:
            number = number_of(where, version)
            if number > GLIBC_MAX:
                raise BundleError(f"{where} needs {version}; at most GLIBC_2.{GLIBC_MAX[1]} expected: "
                                  "build on Debian 12")
            least = max(least, number)
    return least


def check_python(bundle):
    for path in sorted(bundle.rglob("*")):
        if path.parts[len(bundle.parts)] not in ("bin", "lib") and path.is_file() and is_elf(path):
            raise BundleError(f"{path.relative_to(bundle)}: no compiled code expected outside bin/ and "
                              "lib/; it would fit one version of Python only")


# ---------------------------------------------------------------- the archive

def pack(bundle, level):
    """-> the archive: the same bytes for the same content, whoever made it and when."""
    archive = bundle.with_name(bundle.name + ".tar.zst")
    changed_at = int(git("log", "-1", "--format=%ct") or 0)

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = changed_at
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    partial = archive.with_name(archive.name + ".new")
    compressor = zstandard.ZstdCompressor(level=level, threads=os.cpu_count())
    with partial.open("wb") as file, compressor.stream_writer(file) as stream, \
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for path in [bundle, *sorted(bundle.rglob("*"))]:
            tar.add(path, bundle.name / path.relative_to(bundle), recursive=False, filter=plain)
    partial.rename(archive)
    return archive


def bytes_in(path):
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def mib(count):
    return f"{count / (1 << 20):7.2f} MiB"


def make(options):
    bundle = options.build / "bundle" / f"ballast-{options.version}"
    shutil.rmtree(bundle.parent, ignore_errors=True)
    (bundle / "lib").mkdir(parents=True)
    stage_programs(options.build, bundle)
    libraries = stage_libraries(bundle)
    if options.with_cuda_libs:
        stage_cublas(options.cuda_libraries, bundle)
    stage_launcher(bundle)
    stage_examples(bundle)
    stage_data(bundle)
    stage_licences(bundle, libraries, options.cuda_libraries)
    glibc = check_elf(bundle)
    check_python(bundle)
    stage_words(bundle, options.version, glibc, "yes" if options.cuda_libraries else "no")
    # Half a gigabyte of CUDA's would take minutes at the best level.
    archive = pack(bundle, level=9 if options.with_cuda_libs else 19)
    for path in sorted(bundle.iterdir()):
        print(f"bundle: {mib(bytes_in(path))}  {path.name}{'/' if path.is_dir() else ''}")
    print(f"bundle: {mib(bytes_in(bundle))}  {bundle}: glibc {'.'.join(map(str, glibc))}, python "
          f"{PYTHON}, {PROCESSOR}")
    print(f"bundle: {mib(bytes_in(archive))}  {archive}")
    if not options.with_cuda_libs:
        check_archive(archive)


def check_archive(archive):
    """One that is too large does not stay."""
    found = bytes_in(archive)
    if found <= ARCHIVE_BYTES_MAX:
        return
    archive.unlink()
    raise BundleError(f"{archive}: {found} bytes, at most {ARCHIVE_BYTES_MAX} expected, so it was "
                      "removed; see above what grew")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--cuda-libraries", type=pathlib.Path, metavar="DIR",
                        help="with which the back end for GPUs was built, if the programs have it")
    parser.add_argument("--with-cuda-libs", action="store_true", help="copy cuBLASLt too")
    try:
        make(parser.parse_args())
    except (BundleError, OSError) as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
