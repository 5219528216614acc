"""The ledger: what the papers say, what we measure, and a verdict that is computed and can fail.

A claim is one row: the statement in our words, the paper's value, the quantity we measure from a study's
rows, and for each scale the interval in which the measurement has to lie. The intervals were fixed before
the runs they judge. The verdict follows from the numbers alone:

``holds``                        the measurement lies in the interval of its scale
``fails``                        it does not
``the paper errs``               it agrees with a corrected value, which excludes the paper's own
``not testable at this scale``   the scale has no interval (the reason says why), or no rows exist yet

The statements live in one module per paper, and one on what the papers leave out (`leave_out`).
`ledger()` gives them all in order, `evaluate()` the table.

>>> from relbook import claims
>>> {claim.paper for claim in claims.ledger()} <= set(claims.PAPERS)
True
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from relbook import scales

PAPERS = ("tomasini2023", "petrini2021", "ruderman2018", "slides2022")
VERDICTS = ("holds", "fails", "the paper errs", "not testable at this scale")
COLUMNS = (
    "id",
    "paper",
    "figure",
    "statement",
    "paper_value",
    "measured",
    "tolerance",
    "scale",
    "verdict",
    "reason",
)


@dataclass(frozen=True)
class Interval:
    """A closed interval of accepted values, ``low <= value <= high``; infinite ends are allowed."""

    low: float | int = -math.inf
    high: float | int = math.inf

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"interval [{self.low}, {self.high}] is empty; low must not exceed high")

    def __contains__(self, value):
        return self.low <= value <= self.high

    def __str__(self):
        if self.low == -math.inf:
            return f"≤ {self.high:.4g}"
        if self.high == math.inf:
            return f"≥ {self.low:.4g}"
        return f"{self.low:.4g} to {self.high:.4g}"


def within(value, relative):
    """The interval of relative half-width `relative` around `value`.

    >>> str(within(2.0, 0.1))
    '1.8 to 2.2'
    """
    return Interval(*sorted((value * (1 - relative), value * (1 + relative))))


@dataclass(frozen=True)
class Claim:
    """One statement of a paper and how it is judged.

    id:           figure label without ``fig-``, then words: ``b-1-fold-boundary``
    figure:       label of the figure in the book: ``fig-b-1``
    measure:      rows of the study -> number; NaN means that the rows cannot tell
    tolerance:    scale -> Interval of accepted values. A scale that is missing is not testable
    study:        name of the study whose rows are measured; None for claims of pure theory, measured without rows
    not_testable: why the missing scales cannot test the claim
    corrected:    where the paper errs: the interval of values that contradict the paper and agree with the
                  correction, and the correction in words
    """

    id: str
    paper: str
    figure: str
    statement: str
    paper_value: str
    quantity: str
    measure: Callable
    tolerance: Mapping[str, Interval]
    study: str | None = None
    not_testable: str = ""
    corrected: tuple[Interval, str] | None = None
    digits: int = field(default=3)

    def __post_init__(self):
        if self.paper not in PAPERS:
            raise ValueError(
                f"claim {self.id}: paper is {self.paper!r}; it must be one of {', '.join(PAPERS)}"
            )
        for scale in self.tolerance:
            scales.check(scale)
        if self.corrected is not None and any(
            _overlap(self.corrected[0], i) for i in self.tolerance.values()
        ):
            raise ValueError(
                f"claim {self.id}: the corrected interval overlaps the paper's; a verdict would be ambiguous"
            )
        if len(self.tolerance) < len(scales.SCALES) and not self.not_testable:
            raise ValueError(
                f"claim {self.id} lacks a tolerance for some scales and does not say why (not_testable)"
            )

    def judge(self, rows, scale):
        """The claim's row in the table, from the rows of its study at one scale (None or empty: no rows yet)."""
        row = {"id": self.id, "paper": self.paper, "figure": self.figure, "statement": self.statement,
               "paper_value": self.paper_value, "measured": f"nothing yet ({self.quantity})", "scale": scale,
               "tolerance": str(self.tolerance.get(scale, "none"))}  # fmt: skip
        if self.study is not None and (rows is None or len(rows) == 0):
            return row | {
                "verdict": VERDICTS[3],
                "reason": f"the study {self.study!r} has no rows at scale {scale} yet",
            }
        value = float(self.measure(rows))
        if not math.isnan(value):
            row |= {"measured": f"{value:.{self.digits}g} ({self.quantity})"}
        if scale not in self.tolerance:
            return row | {"verdict": VERDICTS[3], "reason": self.not_testable}
        if math.isnan(value):
            return row | {
                "verdict": VERDICTS[3],
                "reason": "the rows at this scale do not contain what the claim is about",
            }
        if value in self.tolerance[scale]:
            return row | {"verdict": VERDICTS[0], "reason": ""}
        if self.corrected is not None and value in self.corrected[0]:
            return row | {"verdict": VERDICTS[2], "reason": self.corrected[1]}
        return row | {
            "verdict": VERDICTS[1],
            "reason": f"{value:.{self.digits}g} is outside {self.tolerance[scale]}",
        }


def _overlap(a, b):
    return a.low <= b.high and b.low <= a.high


def everywhere(interval):
    """The same interval at every scale, for claims that do not depend on it."""
    return dict.fromkeys(scales.SCALES, interval)


def ledger(paper=None):
    """All claims, or those of one paper, in the papers' order."""
    if paper is not None and paper not in PAPERS:
        raise ValueError(f"paper is {paper!r}; it must be one of {', '.join(PAPERS)}")
    chosen = PAPERS if paper is None else (paper,)
    rest = importlib.import_module("relbook.claims.leave_out").CLAIMS
    claims = []
    for name in chosen:
        claims += importlib.import_module(f"relbook.claims.{name}").CLAIMS
        claims += [claim for claim in rest if claim.paper == name]
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise ValueError(f"claim ids are not unique: {sorted({i for i in ids if ids.count(i) > 1})}")
    return claims


def by_id(*ids):
    """The claims with these ids, in this order; ValueError for an id that no claim has.

    >>> [claim.figure for claim in by_id("b-1-norm", "a-5-gap")]
    ['fig-b-1', 'fig-a-5']
    """
    known = {claim.id: claim for claim in ledger()}
    unknown = [id_ for id_ in ids if id_ not in known]
    if unknown:
        raise ValueError(f"id is {unknown[0]!r}; no claim of the ledger has it")
    return [known[id_] for id_ in ids]


def evaluate(claims=None, *, scale=None, rows=None):
    """Judge claims and return a table with the columns of `COLUMNS`.

    claims: a list of claims (default: the whole ledger)
    scale:  judge at this scale; None takes, per claim, the largest scale at which it can be tested
    rows:   {study: DataFrame} to judge rows at hand (at their `attrs["scale"]`, or `scale`); nothing is computed
    """
    from relbook import registry

    claims = ledger() if claims is None else claims
    if scale is not None:
        scales.check(scale)
    found = {(study, frame.attrs.get("scale", scale)): frame for study, frame in (rows or {}).items()}

    def at(study, one):
        if (study, one) not in found:
            found[study, one] = None if rows and study in rows else registry.rows(study, one, compute=False)
        return found[study, one]

    judged = []
    for claim in claims:
        if claim.study is None:
            judged.append(claim.judge(None, scale or "tiny"))
            continue
        candidates = scales.SCALES[::-1] if scale is None else [scale]
        results = [claim.judge(at(claim.study, one), one) for one in candidates]
        testable = [result for result in results if result["verdict"] != VERDICTS[3]]
        measured = [result for result in results if not result["measured"].startswith("nothing yet")]
        judged.append((testable or measured or results[-1:])[0])
    return pd.DataFrame(judged, columns=list(COLUMNS))


def table(paper=None, *, figures=None, scale=None, rows=None):
    """The verdict table of a page: the claims of one paper whose figure label is in `figures`."""
    chosen = [claim for claim in ledger(paper) if figures is None or claim.figure in figures]
    return evaluate(chosen, scale=scale, rows=rows)


def in_page(table):
    """The table as HTML for a page of the book: one card a claim, verdict first, readable on a phone.

    A card links to its figure and to how it was measured on the figure's page; the book puts in which page that is.
    """
    import html

    marks = dict(zip(VERDICTS, ("✓", "✗", "≠", "–"), strict=True))
    cards = []
    for row in table.to_dict("records"):
        cell = {k: html.escape(str(v)) for k, v in row.items()}
        kind = row["verdict"].split()[0]
        facts = f'data-paper="{cell["paper"]}" data-verdict="{cell["verdict"]}" data-scale="{cell["scale"]}"'
        more = f"<dt>why</dt><dd>{cell['reason']}</dd>" if row["reason"] else ""
        figure = f'data-figure="{cell["figure"]}"'
        see = f'<a href="#{cell["figure"]}" {figure}>the figure</a>, <a href="#run-or-load" {figure}>how it was measured</a>'
        cards.append(
            f'<div class="claim claim-{kind}" id="claim-{cell["id"]}" {facts}><p><strong class="verdict">{marks[row["verdict"]]} '
            f"{cell['verdict']}</strong> {cell['statement']}</p><dl><dt>paper</dt><dd>{cell['paper_value']}</dd>"
            f"<dt>ours</dt><dd>{cell['measured']}</dd><dt>accepted</dt><dd>{cell['tolerance']}, at scale {cell['scale']}</dd>"
            f"{more}<dt>see</dt><dd>{see}</dd><dt>id</dt><dd><code>{cell['id']}</code></dd></dl></div>"
        )
    return '<div class="claims">' + "".join(cards) + "</div>"
