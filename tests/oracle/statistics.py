#!/usr/bin/env python3
"""The figures in the tests of src/report/statistics.rs, computed with scipy.

    python3 -m venv venv && venv/bin/pip install scipy && venv/bin/python tests/oracle/statistics.py

Intervals and tests come from scipy itself; where it has none (Newcombe's interval for paired shares) the
published formula is put together from scipy's parts, and pass@k is counted out by drawing every subset.
"""

import itertools
import math

from scipy import stats


def wilson(successes, total):
    interval = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(gained, lost):
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def newcombe(both, gained, lost, neither):
    """Newcombe 1998, method 10, of the share after less the share before."""
    n = both + gained + lost + neither
    after, before = (both + gained) / n, (both + lost) / n
    (l1, u1), (l2, u2) = wilson(both + gained, n), wilson(both + lost, n)
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    cross = both * neither - gained * lost
    if cross > 0:
        cross = max(cross - n / 2, 0)
    phi = cross / math.sqrt(product) if product else 0.0
    below = math.sqrt((after - l1) ** 2 - 2 * phi * (after - l1) * (u2 - before) + (u2 - before) ** 2)
    above = math.sqrt((u1 - after) ** 2 - 2 * phi * (u1 - after) * (before - l2) + (before - l2) ** 2)
    return after - before - below, after - before + above


def pass_at_k(n, c, k):
    """The share of subsets of k attempts in which one at least is resolved."""
    attempts = [True] * c + [False] * (n - c)
    drawn = list(itertools.combinations(attempts, k))
    return sum(any(one) for one in drawn) / len(drawn)


def mean(values):
    low, high = stats.norm.interval(0.95, loc=sum(values) / len(values), scale=stats.sem(values))
    return max(float(low), 0.0), min(float(high), 1.0)


def main():
    print("wilson")
    for case in [(0, 10), (1, 10), (5, 10), (10, 10), (1147, 2294), (2290, 2294), (137, 500), (1, 1)]:
        print(f"    ({case[0]}, {case[1]}, {wilson(*case)[0]!r}, {wilson(*case)[1]!r}),")
    print("mcnemar")
    for case in [(0, 0), (1, 0), (5, 5), (10, 2), (3, 14), (120, 80), (700, 600), (1200, 1000)]:
        print(f"    ({case[0]}, {case[1]}, {mcnemar(*case)!r}),")
    print("newcombe (both, gained, lost, neither)")
    for case in [(20, 5, 2, 13), (0, 5, 0, 5), (200, 60, 40, 200), (10, 0, 0, 10), (36, 12, 2, 0), (3, 9, 9, 1)]:
        print(f"    ({case}, {newcombe(*case)[0]!r}, {newcombe(*case)[1]!r}),")
    print("pass at k")
    for case in [(1, 0, 1), (1, 1, 1), (5, 2, 1), (5, 2, 3), (10, 1, 5), (12, 4, 7), (8, 5, 4), (6, 6, 3)]:
        print(f"    ({case[0]}, {case[1]}, {case[2]}, {pass_at_k(*case)!r}),")
    print("mean")
    for values in [[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.25, 0.5, 0.75, 0.5, 0.5]]:
        print(f"    (&{values}, {mean(values)[0]!r}, {mean(values)[1]!r}),")


main()
