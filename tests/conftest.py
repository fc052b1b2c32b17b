"""One thread a process, as a worker has; Hypothesis without a clock: the first example pays for imports."""

import multiprocessing
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of two threads each on two cores wait for one another

settings.register_profile("here", deadline=None)
settings.load_profile("here")


@pytest.fixture(autouse=True)
def no_driver_outlives_its_test() -> Iterator[None]:
    """One that was left behind by a failure would hold what the next test needs."""
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
