"""Runs one job with the launcher and reads its summary: what the system benches share."""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build/release/bin"
DIGITS = ROOT / "launch/examples/digits.toml"


def bench_parser(doc, bin_dir=None):
    """Of the arguments that every bench takes; its text is the bench's own."""
    made = argparse.ArgumentParser(description=doc,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--bin-dir", type=pathlib.Path, default=bin_dir,
                      help=f"programs to run (default: {bin_dir or 'as launch/ballast finds them'})")
    made.add_argument("--smoke", action="store_true")
    return made


def ballast(*words, bin_dir=None):
    """What the launcher prints; ends the bench where it fails."""
    programs = ["--bin-dir", bin_dir] if bin_dir else []
    command = [ROOT / "launch/ballast", *programs, *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def run_job(job, name, bin_dir=None, **settings):
    """summary.json of a fresh run in runs/bench/<name>; settings are keys, `__` for the dot."""
    run_dir = ROOT / "runs/bench" / name
    shutil.rmtree(run_dir, ignore_errors=True)
    words = []
    for key, value in settings.items():
        words += ["--set", f"{key.replace('__', '.')}={value}"]
    ballast("run", job, "--quiet", "--run-dir", run_dir, *words, bin_dir=bin_dir)
    return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))


def digits(name, bin_dir=None):
    """A folder runs/bench/<name> with the bundled digits in train/ and test/."""
    folder = ROOT / "runs/bench" / name
    for part, source in (("train", "optdigits.tra.gz"), ("test", "optdigits.tes.gz")):
        ballast("data", "convert", "--format", "csv", ROOT / "tests/data" / source, "--out",
                folder / part, "--overwrite", "--features", "pixels", "--features-type", "u8",
                bin_dir=bin_dir)
    return folder
