"""Which n of a session have arrived, kept as a short sorted list of [first, last] ranges."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = list[list[int]]


def contains(ranges: Ranges, n: int) -> bool:
    """Whether n lies in one of the ranges.

    >>> contains([[1, 3], [7, 7]], 7), contains([[1, 3], [7, 7]], 4)
    (True, False)
    """
    return any(first <= n <= last for first, last in ranges)


def add(ranges: Ranges, numbers: Iterable[int]) -> Ranges:
    """The ranges with `numbers` added; neighbours are joined.

    >>> add([[1, 3]], [5, 4, 9])
    [[1, 5], [9, 9]]
    """
    joined: Ranges = []
    for first, last in sorted([*ranges, *([n, n] for n in numbers)]):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def missing(ranges: Ranges) -> int:
    """How many numbers from 1 to the largest have not arrived.

    >>> missing([[2, 3], [6, 6]])
    3
    """
    return ranges[-1][1] - sum(last - first + 1 for first, last in ranges) if ranges else 0
