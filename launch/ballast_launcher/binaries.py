"""Where the programs are: an explicit folder, an installed bundle, or this checkout's build."""

import os
import pathlib
import sys

from .errors import LauncherError

PACKAGE = pathlib.Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parents[1]


def find_bin_dir(explicit=None):
    """The folder that holds ballast-tool and its siblings."""
    if explicit:
        folder = pathlib.Path(explicit).absolute()
        if not folder.is_dir():
            raise LauncherError(f"--bin-dir {explicit}: no such folder")
        return folder
    script = pathlib.Path(sys.argv[0]).resolve().parent
    candidates = [script, CHECKOUT / "build/release/bin"]
    for folder in candidates:
        if (folder / "ballast-tool").is_file():
            return folder
    raise LauncherError(f"ballast-tool is not in {candidates[1]}; build it with "
                        f"{CHECKOUT / 'launch/build'}, or name its folder with --bin-dir")


def binary(bin_dir, name):
    path = bin_dir / name
    if not os.access(path, os.X_OK) or not path.is_file():
        raise LauncherError(f"{name} is not in {bin_dir}; build it with launch/build")
    return str(path)
