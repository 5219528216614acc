"""Claims against scale: the number of a claim for longer and longer trained networks, beside what its paper says.

A claim on networks trained here (study `zoo`) has up to four numbers, in order of compute: of the shortest and of the
longest training of the architectures that were trained in several ways, of all networks that enter the claim, and of
networks that others trained, by the claims that repeat it on those (`repeats` in `claims.toml`): all of them, residual
networks trained in full, and those that fit their training set.

>>> from relbook.ledger import Accepted
>>> from relbook.measurement import exact
>>> moves([Point("a", exact(0.2)), Point("b", exact(0.7))], Accepted(0.8, 1.0))
'towards the paper'
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, remembering
from relbook.studies.zoo import tables

__all__ = ["PLACES", "Point", "moves", "points", "summary", "table", "told"]
PLACES = ("shortest here", "longest here", "all here", "others: all", "others: ResNets", "others: fitted")
FEWEST = 4  # networks of a kind that make a number worth showing
COLUMNS = [
    "id",
    "paper",
    "figure",
    "statement",
    "said",
    "accepted_low",
    "accepted_high",
    "on",
    "estimate",
    "low",
    "high",
    "n",
    "moves",
]


class Point(NamedTuple):
    """A claim's number on one kind of networks (of `PLACES`)."""

    on: str
    found: Measurement


def moves(found: list[Point], accepted: Any) -> str:
    """Where the estimates go from the first to the last point: towards what is accepted, away, or neither.

    "flat" if the last interval holds the first estimate; "within" if both ends are accepted.

    Args:
        found: At least one point.
        accepted: An interval of the ledger, with `low` and `high`.
    """
    first, last = found[0].found, found[-1].found
    distances = [max(accepted.low - one.estimate, one.estimate - accepted.high, 0) for one in (first, last)]
    if distances == [0, 0]:
        return "within what is accepted"
    if last.low <= first.estimate <= last.high:
        return "flat"
    return "towards the paper" if distances[1] < distances[0] else "away from the paper"


def points(claim: Any, rows: pd.DataFrame, repeated: Mapping[tuple, Measurement]) -> list[Point]:
    """The numbers of a claim of the zoo.

    Args:
        claim: One of `relbook.papers.ledger`.
        rows: Of the zoo.
        repeated: {(id of the claim, what networks): Measurement} of the claims that repeat others.
    """
    ends = tables.shortest_and_longest(rows)
    kinds = [*zip(PLACES, (*ends, rows), strict=False)]
    found = [Point(name, claim.measured({"zoo": part})) for name, part in kinds if len(part)]
    found += [Point(name, repeated[claim.id, name]) for name in PLACES if (claim.id, name) in repeated]
    return [one for one in found if not math.isnan(one.found.estimate) and one.found.n and one.found.n >= FEWEST]


def table(live: Sequence, rows: Mapping[str, pd.DataFrame], *, scale: str = "laptop") -> pd.DataFrame:
    """A line a claim and kind of networks, of the claims that have a number at both ends of training here.

    Args:
        live: The ledger's claims, `relbook.papers.ledger`.
        rows: {study: its rows at the scale}, of "zoo" and "others".
        scale: Of the accepted intervals.
    """
    with remembering():
        repeated = {(claim.repeats["claim"], claim.repeats["on"]): claim.measured(
            {study: rows[study] for study in claim.studies}) for claim in live if claim.repeats}  # fmt: skip
        lines = []
        for claim in live:
            accepted = claim.accept.get(scale)
            if claim.studies != ("zoo",) or accepted is None or claim.repeats:
                continue
            found = points(claim, rows["zoo"], repeated)
            if [one.on for one in found[:2]] != list(PLACES[:2]):
                continue
            about = {name: getattr(claim, name) for name in ("id", "paper", "figure", "statement", "said")}
            about |= {"accepted_low": accepted.low, "accepted_high": accepted.high, "moves": moves(found, accepted)}
            lines += [about | {"on": one.on, "estimate": one.found.estimate, "low": one.found.low,
                               "high": one.found.high, "n": one.found.n} for one in found]  # fmt: skip
    return pd.DataFrame(lines, columns=COLUMNS)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """A line a claim of `table`: id, statement, what the paper says, the first and the last number,
    and where they go.
    """
    lines = []
    for id_, part in found.groupby("id", sort=False):
        first, last = (f"{one.estimate:.2g} ({one.on})" for one in part.iloc[[0, -1]].itertuples())
        lines.append([id_, *part.iloc[0][["statement", "said"]], first, last, part.iloc[0]["moves"]])
    return pd.DataFrame(lines, columns=["claim", "statement", "paper", "first", "last", "moves"])


def told(found: pd.DataFrame) -> str:
    """The sentence over all claims of `table`: how many go where.

    >>> told(pd.DataFrame({"id": ["a", "a", "b"], "moves": ["flat", "flat", "towards the paper"]}))
    'Of 2 claims 1 stays flat, and 1 moves towards the paper.'
    """
    where = found.drop_duplicates("id")["moves"].value_counts()
    verbs = {
        "within what is accepted": ("is", "are"),
        "flat": ("stays", "stay"),
        "towards the paper": ("moves", "move"),
        "away from the paper": ("moves", "move"),
    }
    parts = [
        f"{where[way]} {one if where[way] == 1 else many} {way}"
        + (" from the first to the last" if way.startswith("within") else "")
        for way, (one, many) in verbs.items()
        if way in where
    ]
    count = int(np.sum(where))
    if not parts:
        return "No claim has a number at both ends."
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
    return f"Of {count} claims {text}."
