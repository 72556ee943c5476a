"""Run by examples_test.py in a Python that has ray: the example as it is, with a task that fails
once after it has written, and with all tasks run twice at once. Prints what was committed."""

import json
import pathlib
import sys

import ray
import ray_write

from ballast_data import commit

ROWS = 4000


@ray.remote(max_retries=3, retry_exceptions=True)
def failing_once(folder, partition, first, end):
    receipt = ray_write.write_partition._function(folder, partition, first, end)
    mark = pathlib.Path(f"{folder}-failed")
    if partition == 1 and not mark.exists():
        mark.write_text("")
        raise RuntimeError("lost after writing")
    return receipt


def main():
    folder = sys.argv[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    committed = [ray_write.write(f"{folder}/plain", ROWS),
                 ray_write.write(f"{folder}/retried", ROWS, failing_once)]
    both = ray.get([ray_write.write_partition.remote(f"{folder}/twice", k // 2, 1000 * (k // 2),
                                                     1000 * (k // 2 + 1)) for k in range(8)])
    committed.append(commit(f"{folder}/twice", both, partitions=4))
    print(json.dumps([vars(each) for each in committed]))


main()
