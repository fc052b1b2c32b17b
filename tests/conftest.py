"""One thread a process, as a worker has; Hypothesis without a clock: the first example pays for imports."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of two threads each on two cores wait for one another

settings.register_profile("here", deadline=None)
settings.load_profile("here")
