"""Where a figure comes from: the machine, and the commit of the sources that were measured."""

import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What can change no figure: pages, and the results, which a bench itself writes.
NO_SOURCES = (":(exclude)bench/results", ":(exclude)*.md")


def machine():
    return f"{os.cpu_count()} x {processor()}"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit(root=ROOT):
    """Of HEAD; `-dirty` where a tracked source differs from it."""
    told = git(root, "rev-parse", "--short", "HEAD")
    if told.returncode != 0:
        return "unknown"
    differs = git(root, "diff", "--quiet", "HEAD", "--", ".", *NO_SOURCES).returncode != 0
    return told.stdout.strip() + ("-dirty" if differs else "")


def git(root, *words):
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
