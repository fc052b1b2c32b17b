"""One cache folder for the tests of training, apart from the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="package")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGG_ABLATE_CACHE", str(folder))
        patch.delenv("VGG_ABLATE_DATA", raising=False)
        yield folder
