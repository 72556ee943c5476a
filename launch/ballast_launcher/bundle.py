"""A bundle: the folder of programs, libraries and launcher that `launch/build portable --target
bundle` makes, wherever it was put. bundle.json, which only a bundle has, says what it was made of and
what it asks of a machine."""

import dataclasses
import json
import os
import pathlib
import platform

from .errors import LauncherError

FACTS = pathlib.Path(__file__).resolve().parents[1] / "bundle.json"
CPUINFO = pathlib.Path("/proc/cpuinfo")

# As Linux names what the x86-64 psABI asks for at this level; abm is lzcnt, pni is sse3.
FLAGS = {"x86-64-v3": frozenset(
    "cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave".split())}


@dataclasses.dataclass(frozen=True)
class Bundle:
    folder: pathlib.Path
    commit: str
    processor: str  # the least that runs it
    glibc: str      # likewise

    @property
    def bin_dir(self):
        return self.folder / "bin"


def find(path=FACTS):
    """The bundle this launcher belongs to, or nothing in a checkout."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Bundle(path.parent, facts["commit"], facts["processor"], facts["glibc"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LauncherError(f"{path}: damaged ({type(error).__name__}: {error}); unpack the bundle "
                            "again") from error


def missing_flags(processor, cpuinfo):
    """What `processor` asks for and the text of /proc/cpuinfo does not list, in words to show."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return sorted(FLAGS[processor] - set(value.split()))
    return []  # not told, as in some sandboxes


def check_processor(processor, cpuinfo):
    if platform.machine() != "x86_64":
        raise LauncherError(f"this bundle is for x86_64, this machine is {platform.machine()}; build "
                            "Ballast on it")
    missing = missing_flags(processor, cpuinfo)
    if missing:
        raise LauncherError(f"this bundle needs a processor with {processor} (AVX2: Intel since 2013, "
                            f"AMD since 2015), this one lacks {', '.join(missing)}; run it on another "
                            "machine, or build Ballast on this one")


def numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def check_glibc(expected, found):
    """`found` as confstr says it: "glibc 2.36"."""
    name, _, version = (found or "").partition(" ")
    if name != "glibc" or numbers(version) < numbers(expected):
        raise LauncherError(f"this bundle needs glibc {expected} or newer, this machine has "
                            f"{found or 'another C library'}; run it on a newer system, or build "
                            "Ballast on this one")


def system_library():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


def check_machine(bundle):
    """Before a program is started, which would die of a signal or of the loader."""
    cpuinfo = CPUINFO.read_text(encoding="utf-8") if CPUINFO.is_file() else ""
    check_processor(bundle.processor, cpuinfo)
    check_glibc(bundle.glibc, system_library())
