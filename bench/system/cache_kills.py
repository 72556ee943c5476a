#!/usr/bin/python3
"""Question: what does kill -9 leave of a disk cache? Readers of a data set behind an address, two at a time
over one cache that holds half of it, killed at 1,000 random instants.

Bounds: no wrong row, nothing in the folder but blocks and its own file, never more than its limit, and a
reader that is not killed reads all of it, with nothing cleaned up by hand.

    bench/system/cache_kills.py [--kills 1000] [--seed 1] [--bin-dir DIR]
    bench/system/cache_kills.py --smoke      4 kills
"""

import random
import shutil
import signal
import subprocess
import sys
import time

from jobs import RELEASE, ROOT, bench_parser

sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/support")]
from bad_network import make_data  # noqa: E402
from bounds import Bounds  # noqa: E402
from object_store import ObjectStore  # noqa: E402

LIMIT_MIB, DATA_MB = 8, 16


def main():
    parser = bench_parser(__doc__, RELEASE)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.smoke:
        options.kills = 4
    folder = ROOT / "runs/bench/cache-kills"
    shutil.rmtree(folder, ignore_errors=True)
    make_data(folder / "data", DATA_MB)
    instants = random.Random(options.seed)

    def reader(place, passes):
        return subprocess.Popen([options.bin_dir / "read-blocks", place, folder / "cache",
                                 str(LIMIT_MIB), "x", "label", str(passes), "6"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def cached():
        return sum(path.stat().st_blocks * 512 for path in (folder / "cache").glob("*.cached"))

    rows = set(reader(folder / "data", 1).communicate()[0].split())
    wrong = over = 0
    with ObjectStore(folder) as store:
        place = f"{store.url}/data"
        begin = time.monotonic()
        reader(place, 1).communicate()
        whole = time.monotonic() - begin
        for _ in range(options.kills // 2):
            for each in [reader(place, 1000), reader(place, 1000)]:
                time.sleep(instants.uniform(0, whole))
                each.send_signal(signal.SIGKILL)
                said, _ = each.communicate()
                wrong += each.returncode != -signal.SIGKILL or not set(said.split()) <= rows
            over += cached() > LIMIT_MIB << 20
        last = reader(place, 2)
        said, error = last.communicate()
        wrong += last.returncode != 0 or set(said.split()) != rows
    other = [path.name for path in (folder / "cache").iterdir()
             if path.suffix != ".cached" and path.name != "ballast-cache"]
    shutil.rmtree(folder)
    print(f"{options.kills} kills, {wrong} readers with wrong rows or errors, {over} times over the "
          f"limit, left behind: {other or 'nothing'} {error}")
    bounds = Bounds()
    bounds.at_most("wrong readers", wrong, 0)
    bounds.at_most("times over the limit", over, 0)
    bounds.at_most("files left behind", len(other), 0)
    return bounds.exit_code()


if __name__ == "__main__":
    sys.exit(main())
