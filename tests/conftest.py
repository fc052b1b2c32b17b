"""Hypothesis without a clock: the first example pays for imports, and the machine may be busy."""

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.load_profile("here")
