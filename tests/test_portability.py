"""The package imports, plans and reads records on systems without the modules and functions of POSIX and Linux."""

from __future__ import annotations

import subprocess
import sys

# Libraries may use POSIX where it exists, so they are imported before its names are hidden; our modules come after.
HIDE_POSIX = """
import importlib, multiprocessing.connection, multiprocessing.context, os, pkgutil, sys
import fvcore.nn, matplotlib.pyplot, optuna, pandas, psutil, pydantic, rich.console, safetensors.torch, scipy.stats
import sklearn.datasets, torch, torchvision, typer
try:
    import ray.cluster_utils
except ImportError:
    pass
import vgg_ablate

for name in ("fcntl", "resource", "grp", "pwd", "termios", "pynvml", "prctl"):
    sys.modules[name] = None  # `import fcntl` raises ModuleNotFoundError
for name in ("sysconf", "sysconf_names", "sched_getaffinity", "fchmod", "pwrite", "fork", "getuid", "O_CLOEXEC"):
    delattr(os, name)
"""

IMPORT_ALL = """
names = [module.name for module in pkgutil.walk_packages(vgg_ablate.__path__, "vgg_ablate.")]
for name in names:
    if not name.endswith(".__main__") and (name != "vgg_ablate.runs.workers.ray" or "ray" in sys.modules):
        importlib.import_module(name)
print(len(names))
"""

MEASURE = """
from vgg_ablate.data.streaming import fits_in_memory
from vgg_ablate.runs.resources.slots import build_slots, count_cores

assert fits_in_memory(1, torch.device("cpu")) and not fits_in_memory(1 << 60, torch.device("cpu"))
slots = build_slots("cpu")
print(len(slots) == count_cores() > 0, slots[0].memory > 1 << 28)
"""


def test_every_module_imports_without_posix_and_memory_and_cores_are_known() -> None:
    code = HIDE_POSIX + IMPORT_ALL + MEASURE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, measured = done.stdout.splitlines()
    assert int(count) > 100
    assert measured == "True True"
