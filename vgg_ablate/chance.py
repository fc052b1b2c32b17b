"""An exact binomial test of whether a net is better than guessing.

A run at chance level is *stalled*: it did not train, and is counted apart from the runs that did.
"""

from __future__ import annotations

from functools import lru_cache

LEVEL_PER_MILLE = 1  # one-sided level of the test: 0.1 %


def is_stalled(correct: int, examples: int, classes: int) -> bool:
    """Return whether a number of correct answers is not above chance: P(X >= correct) > 0.1 %.

    X ~ Binomial(examples, 1/classes). A net that has learned nothing predicts one class for every image, so the chance
    level is 1/classes where all classes are equally frequent. On unbalanced data a net that always predicts the largest
    class can count as trained.
    """
    return correct < compute_min_correct(examples, classes)


@lru_cache(maxsize=1024)
def compute_min_correct(examples: int, classes: int) -> int:
    """Return the smallest number of correct answers that is above chance; `examples` + 1 if no number is.

    The cumulative binomial distribution, P(X < k) = sum over i < k of C(n, i) (c - 1)^(n - i) / c^n, multiplied by c^n.
    """
    # Integers, because floats miss the edge: all of 3 answers right with 10 classes is exactly P = 0.001.
    total = classes**examples
    below, term = 0, (classes - 1) ** examples  # P(X < correct) and P(X = correct), both times c^n
    for correct in range(examples + 1):
        if 1000 * (total - below) <= LEVEL_PER_MILLE * total:
            return correct
        below += term
        term = term * (examples - correct) // ((correct + 1) * (classes - 1)) if classes > 1 else 0
    return examples + 1
