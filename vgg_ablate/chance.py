"""Whether a net has learned anything: an exact binomial test of its correct answers against guessing."""

from __future__ import annotations

from functools import lru_cache

LEVEL_PER_MILLE = 1  # the test's one-sided level: 0.1 %


def is_stalled(correct: int, examples: int, classes: int) -> bool:
    """Return whether P(X >= correct) > 0.1 % for X ~ Binomial(examples, 1/classes): not above chance.

    A net that has learned nothing answers one class for every image, so chance is 1/classes where the classes are
    equally frequent. Where one class has a larger share, the answer "always that class" may pass for trained.
    """
    return correct < compute_min_correct(examples, classes)


@lru_cache(maxsize=1024)
def compute_min_correct(examples: int, classes: int) -> int:
    """Return the smallest number of correct answers that is above chance; `examples` + 1 where none is.

    In whole numbers, without rounding: P(X < k) = sum over i < k of C(n, i) (c - 1)^(n - i) / c^n.
    """
    everything = classes**examples
    below, term = 0, (classes - 1) ** examples  # P(X < correct) and P(X = correct), both times c^n
    for correct in range(examples + 1):
        if 1000 * (everything - below) <= LEVEL_PER_MILLE * everything:
            return correct
        below += term
        term = term * (examples - correct) // ((correct + 1) * (classes - 1)) if classes > 1 else 0
    return examples + 1
