"""Where the programs are: an explicit folder, this bundle, or this checkout's build."""

import os
import pathlib
import sys

from . import bundle as bundles
from .errors import LauncherError

PACKAGE = pathlib.Path(__file__).resolve().parent
EXAMPLES = PACKAGE.parent / "examples"
HOME = PACKAGE.parent if bundles.FACTS.is_file() else PACKAGE.parents[1]  # the bundle or the checkout


def find_bin_dir(explicit=None):
    """The folder that holds ballast-tool and its siblings."""
    if explicit:
        folder = pathlib.Path(explicit).absolute()
        if not folder.is_dir():
            raise LauncherError(f"--bin-dir {explicit}: no such folder")
        return folder
    bundle = bundles.find()
    if bundle:
        bundles.check_machine(bundle)
        return bundle.bin_dir
    script = pathlib.Path(sys.argv[0]).resolve().parent
    candidates = [script, HOME / "build/release/bin"]
    for folder in candidates:
        if (folder / "ballast-tool").is_file():
            return folder
    raise LauncherError(f"ballast-tool is not in {candidates[1]}; build it with "
                        f"{HOME / 'launch/build'}, or name its folder with --bin-dir")


def binary(bin_dir, name):
    path = bin_dir / name
    if not os.access(path, os.X_OK) or not path.is_file():
        advice = "unpack the bundle again" if bundles.FACTS.is_file() else "build it with launch/build"
        raise LauncherError(f"{name} is not in {bin_dir}; {advice}")
    return str(path)
