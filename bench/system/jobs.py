"""Runs one job with the launcher and reads its summary: what the system benches share."""

import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_job(job, name, **settings):
    """summary.json of a fresh run in runs/bench/<name>; settings are keys, `__` for the dot."""
    run_dir = ROOT / "runs/bench" / name
    shutil.rmtree(run_dir, ignore_errors=True)
    command = [ROOT / "launch/ballast", "run", job, "--quiet", "--run-dir", run_dir]
    for key, value in settings.items():
        command += ["--set", f"{key.replace('__', '.')}={value}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
