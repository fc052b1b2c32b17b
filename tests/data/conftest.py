"""One cache folder for the tests of data, apart from the user's."""

from tests.training.conftest import cache

__all__ = ["cache"]
