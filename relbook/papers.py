"""The statements of the papers in reading order, judged (`relbook.ledger` says what a claim and a verdict are).

>>> [claim.figure for claim in by_id("b-1-log-law")]
['fig-b-1']
"""

import functools
from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from relbook import registry, scales
from relbook.ledger import FIELDS, PACKAGE, PAPERS, Claim, Verdict, claims
from relbook.measurement import remembering
from relstab.store import Rows


def ledger(paper: str | None = None, *, superseded: bool = False) -> list:
    """All claims, or those of one paper, in the papers' order: by paper, section and figure.

    Args:
        paper: One of `PAPERS`.
        superseded: With the rows that are judged no more.

    Raises:
        ValueError: An unknown paper; a study that does not exist.
    """
    if paper is not None and paper not in PAPERS:
        raise ValueError(f"paper is {paper!r}; it must be one of {', '.join(PAPERS)}")
    found = claims()
    for claim in found:
        unknown = set(claim.studies) - set(registry.STUDIES)
        if unknown:
            raise ValueError(
                f"claim {claim.id}: study is {min(unknown)!r}; it must be one of {', '.join(registry.STUDIES)}"
            )
    chosen = [c for c in found if (superseded or not c.retired) and paper in (None, c.paper)]
    return sorted(chosen, key=lambda claim: (PAPERS.index(claim.paper), claim.section, _order(claim.figure)))


def _order(figure: str) -> list[tuple]:
    """Figures by number, `fig-b-5` before `fig-b-12`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in figure.split("-")[2:]]


def by_id(*ids: str) -> list:
    """The claims with these ids, in this order; ValueError for an id that no claim has."""
    known = {claim.id: claim for claim in ledger(superseded=True)}
    for id_ in ids:
        if id_ not in known:
            raise ValueError(f"id is {id_!r}; no claim of the ledger has it")
    return [known[id_] for id_ in ids]


def on(paper: str, *figures: str) -> list:
    """The claims on these figures, of any paper and of ours; without figures, those of the paper."""
    return [claim for claim in ledger() if claim.figure in figures] if figures else ledger(paper)


def sources(chosen: Iterable[Claim]) -> dict[str, str]:
    """{id: dotted name of the function that measures}, for the claims that are measured."""
    return {claim.id: f"{PACKAGE}.{claim.folder}.claims.{claim.measure}" for claim in chosen if claim.measure}


def evaluate(
    chosen: Iterable[Claim] | None = None, *, scale: str | None = None, rows: Mapping | None = None
) -> pd.DataFrame:
    """Judge claims; a line each, with the columns of `FIELDS`.

    Args:
        chosen: The claims (default: the whole ledger, without superseded rows).
        scale: Judge at this scale; None takes, for each claim, the largest that decides, else that says anything.
        rows: {study: DataFrame} to judge rows at hand, at the scale that they name or else the one given. Nothing is
            computed.
    """
    at = _reader(rows, scale)
    with remembering():
        lines = [_judged(claim, at, scale) for claim in (ledger() if chosen is None else chosen)]
    return pd.DataFrame(lines, columns=list(FIELDS), dtype=object)


def _judged(claim: Claim, at: Callable, scale: str | None) -> dict:
    """The claim's line, at the largest scale that decides, else that says anything."""
    if claim.retired:
        return claim.retired_line()
    judged = []
    for one in _candidates(claim, scale):
        judged.append(claim.judge({study: at(study, one) for study in claim.studies}, one))
        if _tells(judged[-1]) == DECIDED:
            break
    return max(judged, key=_tells)  # of equals the first, that is the largest scale


def populations(claim: Claim, *, scale: str | None = None, rows: Mapping | None = None) -> dict[str, tuple[str, ...]]:
    """{scale: the units that enter}, the largest scale first: which networks, sizes and seeds the claim's number is of.

    Scales at which nothing enters are left out; arguments as those of `evaluate`.

    >>> populations(by_id("b-1-fold-form")[0])["laptop"][:2]
    ('c = 5', 'c = 7')
    """
    at = _reader(rows, scale)
    found = {
        one: claim.measured({study: at(study, one) for study in claim.studies}).units
        for one in _candidates(claim, scale)
    }
    return {one: units for one, units in found.items() if units}


def _candidates(claim: Claim, scale: str | None) -> list[str]:
    """The scales at which to judge a claim, the largest first."""
    return [scale] if scale else [*scales.SCALES[::-1]] if claim.studies else [scales.SCALES[0]]


def _reader(rows: Mapping | None, scale: str | None) -> Callable:
    """A function of a study and a scale: the rows at hand, or those that are stored or published, read once."""
    if scale is not None:
        scales.check(scale)
    if rows is not None:
        at_hand = {(study, (isinstance(table, Rows) and table.scale) or scale): table for study, table in rows.items()}
        return lambda study, one: at_hand.get((study, one))
    return functools.cache(lambda study, one: registry.rows(study, one, compute=False))


DECIDED = 3


def _tells(line: Mapping) -> int:
    """How much a line says, from 0, nothing, to `DECIDED`."""
    if line["verdict"] == Verdict.NOT_TESTED:
        return 0 if line["estimate"] is None else 1
    return 2 if line["verdict"] == Verdict.UNDECIDED else DECIDED
