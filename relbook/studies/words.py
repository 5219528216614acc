"""Words of sentences that are computed."""

from collections.abc import Iterable


def listed(words: Iterable[str]) -> str:
    """An enumeration.

    >>> listed("abc"), listed("a")
    ('a, b and c', 'a')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
