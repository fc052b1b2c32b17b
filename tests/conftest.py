"""One thread per process, as a worker has; Hypothesis without a deadline; the marker of slow tests."""

import multiprocessing
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.browser import Browser, start_browser

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once per process of the suite; tests that use it are skipped where it is not installed."""
    with start_browser() as browser:
        yield browser


# Folders and files whose tests start processes, train nets, draw figures or run hundreds of examples: `make fast`
# leaves them out, so that the rest takes under a minute on two cores.
SLOW = (
    "cluster", "runs", "training", "report", "paper", "cli/test_run.py", "cli/test_init.py", "cli/test_export.py",
    "cli/test_report.py", "cli/test_plan.py", "cli/test_without_torch.py", "site", "models/test_oracles.py",
    "data/test_fingerprint.py", "analysis/test_verdicts.py", "analysis/test_sequential.py", "analysis/test_counts.py",
    "analysis/test_stats.py", "analysis/test_stalled.py", "analysis/test_horizons.py", "test_portability.py",
    "test_docs.py", "test_api.py", "config/test_limits.py", "space/test_survey.py",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders and files, wherever pytest was started."""
    for item in items:
        if item.path.relative_to(config.rootpath / "tests").as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
