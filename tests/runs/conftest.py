"""No driver outlives its test: one that was left behind by a failure would hold what the next test needs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_driver_outlives_its_test() -> Iterator[None]:
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
