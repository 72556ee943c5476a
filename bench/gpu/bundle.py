"""`bench/gpu/run --pack`: the portable bundle, and with it what the measurement needs elsewhere."""

import os
import pathlib
import shutil
import subprocess

import provenance

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ("backend_contract_test", "train_step_test")
BENCHES = ("device_bench",)
SCRIPTS = ("gpu", "bounds.py", "provenance.py", "system/jobs.py", "system/accuracy.py")  # of bench/


def pack(target):
    """The bundle, beside its programs the tests and benches, which find the same libraries, and bench/."""
    portable = ROOT / "build/portable"
    words = [ROOT / "launch/build", "portable", "-DBALLAST_BENCH=ON"]
    for name in ("bundle", *TESTS, *BENCHES):
        words += ["--target", name]
    subprocess.run(words, check=True)
    bundles = [path for path in (portable / "bundle").iterdir() if path.is_dir()]
    if len(bundles) != 1:
        raise SystemExit(f"one bundle expected in {portable / 'bundle'}, {len(bundles)} found; "
                         "remove the folder and run this again")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundles[0], target, symlinks=True)
    for name in (*TESTS, *BENCHES):
        copy_program(portable, name, target)
    copy_scripts(target)
    (target / "commit").write_text(provenance.commit() + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / (1 << 20):.1f} MiB")


def copy_program(portable, name, target):
    found = [path for path in portable.rglob(name) if path.is_file() and os.access(path, os.X_OK)
             and "bundle" not in path.relative_to(portable).parts]
    copy = target / "bin" / name
    shutil.copy2(found[0], copy)
    subprocess.run(["strip", copy], check=True)
    if name in TESTS:  # finds its libraries beside itself, not in the build
        told = subprocess.run(["ldd", copy], capture_output=True, text=True, check=True)
        if "not found" in told.stdout or str(portable) in told.stdout:
            raise SystemExit(f"{copy} would not start elsewhere:\n{told.stdout}")


def copy_scripts(target):
    for name in SCRIPTS:
        source, copy = ROOT / "bench" / name, target / "bench" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"),
                            dirs_exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
