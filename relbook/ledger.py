"""The ledger: what the papers say, what was measured and on what, how certain it is, and a verdict that can fail.

A claim is data: a table in the `claims.toml` of a study's folder. Its measure is a function in `claims.py` beside it,
from the study's rows to a `Measurement` (`relbook.measurement`). The verdict is computed:

- ``holds``: the whole 95 % interval of the measurement lies in the accepted interval of its scale;
- ``fails``: none of it does;
- ``undecided``: it straddles an end, or too few networks or seeds entered;
- ``differs``: as ``fails``, but the measurement lies in a second interval declared beforehand: a slip in print is
  corrected there, text and code disagree, or a law that is true in its limit is not there yet;
- ``not tested``: nothing at this scale can tell.

An accepted interval never changes: `claims.lock`, beside each `claims.toml`, holds a hash for each, and lines are only
added to it (`python -m relbook.ledger` adds those of new claims). A better row supersedes the old one, which
stays in the file, dated, out of the tally.

>>> Accepted(0.8, 1.0).verdict(0.9, 0.95), Accepted(0.8, 1.0).verdict(0.7, 0.9)
(<Verdict.HOLDS: 'holds'>, <Verdict.UNDECIDED: 'undecided'>)
"""

import datetime
import functools
import hashlib
import importlib
import inspect
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from relbook import scales
from relbook.measurement import Measurement, nothing

PAPERS = ("tomasini2023", "petrini2021", "ruderman2018", "slides2022", "ours")
FOLDERS = Path(__file__).parent / "studies"  # a folder with a claims.toml for each study
PACKAGE = "relbook.studies"  # of the modules claims.py in them
LISTED = 200  # units at most that a line names; more are draws
ANY = "any"  # the scale of an interval, and of a verdict, that depends on none
FIELDS = ("id", "paper", "section", "figure", "statement", "said", "quantity", "population", "n", "units", "estimate",
          "low", "high", "accepted_low", "accepted_high", "scale", "verdict", "kind", "difference", "basis", "set",
          "because", "reason", "decides", "supersedes")  # fmt: skip


class Verdict(StrEnum):
    """What a measurement says about a statement."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"
    DIFFERS = "differs"
    NOT_TESTED = "not tested"


class Difference(StrEnum):
    """Why a statement that fails is no failure of what it means."""

    SLIP = "slip"
    TEXT_AND_CODE = "text and code"
    ASYMPTOTIC = "asymptotic"


class Kind(StrEnum):
    """A statement of a paper, or a check of our own, shown where a figure has no other row and never counted."""

    STATEMENT = "statement"
    CHECK = "check"


class Basis(StrEnum):
    """What was known when an interval was set."""

    PAPER = "paper"
    PROTOTYPE = "prototype"
    AFTER_ROWS = "after rows"


class Cause(StrEnum):
    """Where a failure or an open question comes from, as far as we know."""

    WIDTH = "width"
    EPOCHS = "epochs"
    SEEDS = "seeds"
    ENCODING = "data encoding"
    DEFINITION = "definition"
    CONFOUNDED = "confounded"
    PAPER = "the paper"
    FEW = "few networks"


@dataclass(frozen=True)
class Accepted:
    """A closed interval; infinite ends are allowed."""

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"interval [{self.low}, {self.high}] is empty; low must not exceed high")

    def verdict(self, low: float | int, high: float | int) -> Verdict:
        """Of a measurement with the interval [low, high]."""
        if self.low <= low and high <= self.high:
            return Verdict.HOLDS
        return Verdict.FAILS if high < self.low or self.high < low else Verdict.UNDECIDED

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"≤ {self.high:.4g}"
        if self.high == math.inf:
            return f"≥ {self.low:.4g}"
        return f"{self.low:.4g} to {self.high:.4g}" if self.low < self.high else f"{self.low:.4g}"


@dataclass(frozen=True)
class Reason:
    """Why a claim fails or is undecided, in words, and the verdict and estimate that they explain."""

    text: str
    cause: Cause
    on: datetime.date
    verdict: Verdict
    estimate: float | int


@dataclass(frozen=True)
class Claim:
    """One statement and how it is judged; the fields are those of `claims.toml` (see `read`)."""

    id: str
    folder: str
    paper: str
    section: str
    figure: str
    statement: str
    said: str
    quantity: str
    population: str
    accept: Mapping[str, Accepted]
    because: str
    set: datetime.date
    basis: Basis
    measure: str | None = None
    arguments: Mapping = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    kind: Kind = Kind.STATEMENT
    differs: tuple[Difference, Accepted, str] | None = None
    reason: Reason | None = None
    decides: str = ""
    supersedes: str = ""
    repeats: Mapping = field(default_factory=dict)
    retired: str = ""
    was: Mapping = field(default_factory=dict)

    @property
    def function(self) -> Callable[..., Measurement]:
        """The function that measures."""
        return getattr(importlib.import_module(f"{PACKAGE}.{self.folder}.claims"), self.measure)

    @property
    def seed(self) -> int:
        """Of the claim's resamples: a hash of its id."""
        return int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:8])

    def measured(self, rows: Mapping) -> Measurement:
        """The claim's number from {study: rows}; `nothing` where there is no measure or a study has no rows."""
        if self.measure is None or any(rows.get(study) is None or rows[study].empty for study in self.studies):
            return nothing()
        options = dict(self.arguments)
        if "seed" in inspect.signature(self.function).parameters:
            options["seed"] = self.seed
        if not self.studies:
            return self.function(**options)
        return self.function(rows[self.studies[0]] if len(self.studies) == 1 else rows, **options)

    def judge(self, rows: Mapping, scale: str) -> dict:
        """The claim's line in the table, judged at one scale by {study: rows}."""
        found = self.measured(rows)
        accepted = self.accept.get(scale, self.accept.get(ANY))
        verdict, why = self._verdict(found, accepted, scale)
        known = not math.isnan(found.estimate)
        line = {name: getattr(self, name) for name in FIELDS if hasattr(self, name)}
        units = list(found.units) if len(found.units) <= LISTED else None
        line |= {"n": found.n, "units": units, "scale": scale if self.studies else ANY, "verdict": str(verdict),
                 "kind": str(self.kind), "basis": str(self.basis), "set": self.set.isoformat(),
                 "supersedes": self.supersedes or None,
                 "difference": str(self.differs[0]) if verdict == Verdict.DIFFERS else None,
                 "reason": self._explanation(verdict) or why, "decides": self.decides}  # fmt: skip
        line |= {name: getattr(found, name) if known else None for name in ("estimate", "low", "high")}
        return line | {f"accepted_{end}": _finite(getattr(accepted, end, None)) for end in ("low", "high")}

    def _verdict(self, found: Measurement, accepted: Accepted | None, scale: str) -> tuple[Verdict, str]:
        if math.isnan(found.estimate):
            missing = " and ".join(self.studies) or "the measure"
            return (Verdict.NOT_TESTED, f"nothing of {missing} at scale {scale} can tell" if self.measure else "")
        if accepted is None:
            return Verdict.NOT_TESTED, f"no interval was set for scale {scale}"
        if not found.enough:
            have = found.n if found.groups is None else found.groups
            what = found.what.removesuffix("s") if have == 1 else found.what
            return Verdict.UNDECIDED, f"{have} {what} entered; it takes {found.needs} to decide"
        verdict = accepted.verdict(found.low, found.high)
        if (
            verdict == Verdict.FAILS
            and self.differs
            and self.differs[1].verdict(found.low, found.high) == Verdict.HOLDS
        ):
            return Verdict.DIFFERS, self.differs[2]
        why = {Verdict.FAILS: "outside", Verdict.UNDECIDED: "partly outside"}.get(verdict)
        return verdict, f"{found.low:.3g} to {found.high:.3g} is {why} {accepted}" if why else ""

    def _explanation(self, verdict: Verdict) -> str:
        return f"{self.reason.text} ({self.reason.cause})" if self.reason and self.reason.verdict == verdict else ""

    def retired_line(self) -> dict:
        """The line of a row that is judged no more: what it was, and why it went."""
        line = {name: getattr(self, name, None) for name in FIELDS}
        line |= {"set": self.set.isoformat(), "basis": str(self.basis), "kind": str(self.kind), "verdict": None,
                 "supersedes": self.supersedes or None, "difference": None, "estimate": self.was.get("estimate"),
                 "scale": self.was.get("scale"),
                 "reason": f"{self.retired} (Was: {self.was.get('verdict', 'unjudged')}.)"}  # fmt: skip
        accepted = self.accept.get(line["scale"], self.accept.get(ANY))
        return line | {f"accepted_{end}": _finite(getattr(accepted, end, None)) for end in ("low", "high")}


def _finite(value: float | int | None) -> float | int | None:
    return value if value is not None and math.isfinite(value) else None


def read(id_: str, table: Mapping, folder: str) -> Claim:
    """A claim from its table in `claims.toml`.

    Raises:
        ValueError: A field that is missing, unknown or has a value that is not allowed; the sentence names the claim.
    """
    table = dict(table)
    try:
        table["studies"] = tuple(table.get("studies", [folder] if table.get("measure") else []))
        table["accept"] = {scale: _accepted(ends) for scale, ends in table.get("accept", {}).items()}
        table["kind"], table["basis"] = (Kind(table.get("kind", "statement")), Basis(table.get("basis", "paper")))
        if "differs" in table:
            one = table["differs"]
            table["differs"] = (Difference(one["kind"]), _accepted(one["interval"]), one["because"])
        if "reason" in table:
            one = table["reason"]
            table["reason"] = Reason(
                one["text"], Cause(one["cause"]), one["on"], Verdict(one["verdict"]), one["estimate"]
            )
        claim = Claim(id=id_, folder=folder, **table)
        _check(claim)
    except (TypeError, ValueError, KeyError) as error:
        text = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"claim {id_} of {folder}/claims.toml: {text}") from error
    return claim


def _accepted(ends: Iterable) -> Accepted:
    low, high = map(float, ends)
    return Accepted(low, high)


def _check(claim: Claim) -> None:
    if claim.paper not in PAPERS:
        raise ValueError(f"paper is {claim.paper!r}; it must be one of {', '.join(PAPERS)}")
    if claim.id[:2] != "abcdo"[PAPERS.index(claim.paper)] + "-":
        raise ValueError(f"the id must begin with {'abcdo'[PAPERS.index(claim.paper)]}-, the letter of {claim.paper}")
    for scale in claim.accept:
        if scale != ANY:
            scales.check(scale)
    if not claim.figure.startswith("fig-"):
        raise ValueError(f"figure is {claim.figure!r}; it must be a label such as fig-b-5")
    for name in ("statement", "said", "quantity"):
        if not getattr(claim, name).strip():
            raise ValueError(f"{name} is empty; say it in words")
    if claim.retired:
        return
    if claim.measure and not claim.accept:
        raise ValueError("accept is empty; give an interval for a scale, or no measure")
    if claim.accept and not claim.because.strip():
        raise ValueError("because is empty; say why the accepted interval is what it is")
    if claim.measure and not claim.population.strip():
        raise ValueError("population is empty; say which networks, sizes and seeds enter")
    if not claim.measure and not claim.decides.strip():
        raise ValueError("there is no measure, and decides is empty; say what it would take to test it")
    if claim.differs and any(_overlap(claim.differs[1], one) for one in claim.accept.values()):
        raise ValueError("the interval of differs overlaps the accepted one; a verdict would be ambiguous")


def _overlap(a: Accepted, b: Accepted) -> bool:
    return a.low <= b.high and b.low <= a.high


def folders(root: Path = FOLDERS) -> list[str]:
    """The folders that have a `claims.toml`."""
    return sorted(path.parent.name for path in root.glob("*/claims.toml"))


def claims(root: Path = FOLDERS) -> list[Claim]:
    """The claims of all folders, superseded ones too, in the order of the files.

    Raises:
        ValueError: A claim that is not well formed, an id that occurs twice, or a row that supersedes none.
    """
    files = [root / folder / "claims.toml" for folder in folders(root)]
    return list(_claims(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)))


@functools.lru_cache(maxsize=1)
def _claims(files: tuple) -> list[Claim]:
    """The claims of files, read again only when one has changed."""
    found = []
    for path, *_ in files:
        with path.open("rb") as file:
            found += [read(id_, table, path.parent.name) for id_, table in tomllib.load(file).items()]
    ids = [claim.id for claim in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"claim ids are not unique: {sorted({i for i in ids if ids.count(i) > 1})}")
    retired = {claim.id for claim in found if claim.retired}
    live = set(ids) - retired
    for claim in found:
        if claim.repeats and (set(claim.repeats) != {"claim", "on"} or claim.repeats["claim"] not in live):
            raise ValueError(
                f"claim {claim.id} repeats {dict(claim.repeats)}; it must name a claim of the ledger as "
                "`claim`, and say as `on` which networks it is about"
            )
        if claim.supersedes and claim.supersedes not in retired:
            raise ValueError(f"claim {claim.id} supersedes {claim.supersedes!r}, which no retired row is called")
    return found


def digest(claim: Claim) -> dict[tuple[str, str], str]:
    """{(id, scale): hash} of a claim's intervals; the second interval of a claim that may differ is at "differs"."""
    intervals = dict(claim.accept) | ({"differs": claim.differs[1]} if claim.differs else {})
    return {
        (claim.id, scale): hashlib.sha256(f"{claim.id} {scale} {one.low!r} {one.high!r}".encode()).hexdigest()[:16]
        for scale, one in intervals.items()
    }


def locked(path: Path) -> dict[tuple[str, str], str]:
    """{(id, scale): hash} of a lock file; empty where there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(id_, scale): value for id_, scale, value in (line.split() for line in lines)}


def lock(root: Path = FOLDERS) -> int:
    """Add the intervals of new claims to the lock files; returns how many.

    Raises:
        ValueError: An interval that is in a lock file already, with other ends, or that is gone.
    """
    count = 0
    for folder in folders(root):
        path = root / folder / "claims.lock"
        known, now = locked(path), {}
        for claim in claims(root):
            now |= digest(claim) if claim.folder == folder else {}
        for key, value in known.items():
            if now.get(key) != value:
                raise ValueError(
                    f"the interval of {key[0]} at scale {key[1]} is not the one that was published; "
                    "restore it, retire the row, and let a new row supersede it"
                )
        new = [f"{id_} {scale} {value}\n" for (id_, scale), value in now.items() if (id_, scale) not in known]
        if new:
            with path.open("a") as file:
                file.writelines(new)
        count += len(new)
    return count


if __name__ == "__main__":
    print(f"{lock()} intervals added")
