"""The ledger: claims as data, measurements with an interval, verdicts that follow from numbers,
and locked intervals.
"""

import datetime
import itertools
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from relbook import ledger, measurement, papers
from relbook.ledger import Accepted, Verdict
from relbook.measurement import Measurement, bootstrap, correlation, exact, mean, rank_correlation, share, slope

TABLE = {
    "paper": "petrini2021",
    "section": "4",
    "figure": "fig-b-5",
    "statement": "It is so.",
    "said": "1",
    "quantity": "it",
    "population": "those",
    "measure": "toy",
    "studies": ["zoo"],
    "accept": {"laptop": [0.9, 1.1]},
    "because": "scatter",
    "set": datetime.date(2026, 11, 21),
    "basis": "paper",
}


@pytest.fixture
def make(monkeypatch):
    """A claim whose measure gives the measurement at hand."""

    def claim(found, **fields):
        module = type("claims", (), {"toy": staticmethod(lambda rows: found)})
        monkeypatch.setitem(sys.modules, f"{ledger.PACKAGE}.zoo.claims", module)
        return ledger.read("b-5-toy", TABLE | fields, "zoo")

    return claim


def verdict(claim):
    return claim.judge({"zoo": pd.DataFrame({"a": [1]})}, "laptop")["verdict"]


def measured(low, high, n=6, needs=6):
    return Measurement((low + high) / 2, low, high, tuple("abcdefgh"[:n]), needs)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (measured(0.95, 1.1), "holds"),
        (exact(0.9), "holds"),
        (measured(0.8, 1.0), "undecided"),
        (measured(0.5, 2.0), "undecided"),
        (measured(1.2, 1.3), "fails"),
        (exact(math.inf), "fails"),
        (measured(1.0, 1.0, n=5), "undecided"),
        (measured(2.0, 2.0, n=5), "undecided"),
        (measurement.nothing(), "not tested"),
    ],
)
def test_the_verdict_follows_from_the_interval(make, found, expected):
    assert verdict(make(found)) == expected


def test_differs_takes_a_second_interval_that_the_measurement_meets(make):
    differs = {"kind": "asymptotic", "interval": [1.2, 1.4], "because": "finite size"}
    for (low, high), expected in (
        ((1.25, 1.3), "differs"),
        ((1.25, 1.5), "fails"),
        ((1.0, 1.05), "holds"),
        ((1.0, 1.3), "undecided"),
    ):
        line = make(measured(low, high), differs=differs).judge({"zoo": pd.DataFrame({"a": [1]})}, "laptop")
        assert line["verdict"] == expected
        assert line["difference"] == ("asymptotic" if expected == "differs" else None)
    with pytest.raises(ValueError, match="overlaps"):
        make(exact(1), differs=differs | {"interval": [1.1, 2.0]})


def test_no_rows_and_no_interval_are_not_tested(make):
    claim = make(measured(1, 1))
    assert claim.judge({"zoo": pd.DataFrame()}, "laptop")["verdict"] == "not tested"
    line = claim.judge({"zoo": pd.DataFrame({"a": [1]})}, "tiny")
    assert line["verdict"] == "not tested" and line["estimate"] == 1 and line["accepted_low"] is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"population": " "}, "population is empty"),
        ({"because": ""}, "because is empty"),
        ({"statement": ""}, "statement is empty"),
        ({"measure": None}, "decides is empty"),
        ({"paper": "nobody2020"}, "paper is 'nobody2020'"),
        ({"paper": "tomasini2023"}, "the id must begin with a-"),
        ({"basis": "hope"}, "'hope' is not a valid Basis"),
        ({"accept": {"laptop": [1, 0]}}, "is empty; low must not exceed high"),
        ({"accept": {"huge": [0, 1]}}, "scale is 'huge'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_claim_that_is_not_well_formed_is_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=r"claim b-5-toy of zoo/claims\.toml") as error:
        ledger.read("b-5-toy", TABLE | fields, "zoo")
    assert sentence in str(error.value)


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match="population"):
        ledger.read("b-5-toy", {k: v for k, v in TABLE.items() if k != "population"}, "zoo")


def test_a_measurement_lies_in_its_interval():
    with pytest.raises(ValueError, match="does not hold the estimate"):
        Measurement(1.0, 1.1, 1.2)


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(60):
        found = bootstrap(mean, generator.normal(size=30), units=range(30), seed=seed)
        hits += found.low <= 0 <= found.high
    assert 0.85 <= hits / 60 <= 0.98


def test_resamples_are_the_claims_own():
    x = np.arange(10.0) ** 2
    first, again, other = (bootstrap(mean, x, units=range(10), seed=seed) for seed in (1, 1, 2))
    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)


def test_strata_are_resampled_apart_and_without_bias():
    """Two strata of two: the mean of one draw of each, so that the variance is that of the mean."""
    x = np.array([0.0, 1.0, 10.0, 11.0])
    found = bootstrap(mean, x, units=range(4), seed=0, strata=["a", "a", "b", "b"], needs=0)
    assert (found.low, found.estimate, found.high) == (5.0, 5.5, 6.0)


def test_clusters_weigh_alike_and_are_resampled_as_one():
    x = np.array([1.0, 1.0, 1.0, 5.0])
    found = bootstrap(mean, x, units=range(4), seed=0, clusters=["a", "a", "a", "b"], needs=2)
    assert (found.low, found.estimate, found.high) == (1.0, 3.0, 5.0)
    assert found.n == 4 and found.enough
    assert not bootstrap(mean, x, units=range(4), seed=0, clusters=list("aaab"), needs=3).enough


@pytest.mark.parametrize(
    ("true", "low", "high"),
    [("1" * 8, 0.6756, 1), ("0" * 9, 0, 0.2992), ("11110", 0.3755, 1), ("1" * 35 + "0" * 35, 0.3857, 0.6143)],
)
def test_the_interval_of_a_share_is_no_point(true, low, high):
    """Wilson's: 8 of 8 is 0.676 to 1, 0 of 9 is 0 to 0.299; where resamples reach further, theirs."""
    found = share([one == "1" for one in true], units=range(len(true)), seed=0)
    assert found.estimate == pytest.approx(true.count("1") / len(true)) and found.n == len(true)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


def test_a_share_of_clusters_counts_clusters():
    """Eight networks of two repositories are two."""
    found = share([True] * 8, units=range(8), seed=0, clusters="aaaabbbb", needs=2)
    assert (found.low, found.estimate, found.high) == (pytest.approx(0.3424, abs=1e-3), 1, 1) and found.enough
    assert share([], units=[], seed=0).n == 0


def test_a_column_without_a_value_for_each_unit_is_refused():
    with pytest.raises(ValueError, match="one value for each of the 3 units"):
        bootstrap(mean, np.ones(4), units="abc", seed=0)


def test_statistics_agree_with_pandas():
    x, y = np.random.default_rng(0).normal(size=(2, 12)).round(1)
    a, b = pd.Series(x), pd.Series(y)
    assert correlation(x, y) == pytest.approx(a.corr(b))
    assert rank_correlation(x, y) == pytest.approx(a.corr(b, method="spearman"))
    assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
    doubled, weights = np.r_[x, x[:3]], np.r_[np.full(3, 2.0), np.ones(9)]
    assert correlation(x, y, weights) == pytest.approx(correlation(doubled, np.r_[y, y[:3]]))


def test_few_distinct_points_make_no_correlation():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    y = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0])
    loose, strict = (bootstrap(correlation, x, y, units=x, seed=0, distinct=d).low for d in (1, 3))
    assert loose < strict


# ---- the ledger that is published


def test_the_ledger_is_well_formed():
    claims = papers.ledger(superseded=True)
    assert claims
    for claim in claims:
        assert claim.statement.endswith("."), claim.id
        if claim.measure and not claim.retired:
            assert callable(claim.function), claim.id


PLACE = r"\b(Secs?\.|Figs?\.|Eqs?\.|Prop\.|App\.|abstract|footnotes?|slides?|draft|discussion)"


def test_a_statement_of_a_paper_says_where_it_stands():
    """`said` names a section, a figure, an equation or a slide."""
    statements = [c for c in papers.ledger() if c.paper != "ours" and c.kind == "statement"]
    assert [c.id for c in statements if not re.search(PLACE, c.said)] == []


def test_a_statement_can_be_read_alone():
    """It does not lean on the row before it, which a search or a link leaves out."""
    leaning = re.compile(r"(The same (in|with|holds|among|norm)|Its|So it|And|That is)\b")
    assert [c.id for c in papers.ledger() if leaning.match(c.statement)] == []


def test_no_interval_has_changed():
    """Every interval stands in the lock as it was; `python -m relbook.ledger` adds new ones."""
    for folder in ledger.folders():
        known = ledger.locked(ledger.FOLDERS / folder / "claims.lock")
        now = {}
        for claim in papers.ledger(superseded=True):
            now |= ledger.digest(claim) if claim.folder == folder else {}
        assert now == known, folder


def git(*arguments):
    """What git prints about the checkout; nothing where there is no history: an archive, a shallow clone."""
    ran = subprocess.run(["git", *arguments], cwd=ledger.FOLDERS, capture_output=True, text=True, check=False)
    return "" if ran.returncode else ran.stdout


def lock_of(commit, folder):
    return git("show", f"{commit}:./{folder}/claims.lock").splitlines()


@pytest.mark.parametrize("folder", ledger.folders())
def test_lock_lines_are_only_added(folder):
    """Every line of every earlier version of a lock is in today's: no interval was rewritten together with its hash."""
    now = (ledger.FOLDERS / folder / "claims.lock").read_text().splitlines()
    assert len({line.rpartition(" ")[0] for line in now}) == len(now), "two hashes for one interval"
    commits = git("log", "--format=%H", "--", f"{folder}/claims.lock").split()
    assert {line for commit in commits for line in lock_of(commit, folder)} - set(now) == set()


def test_an_interval_that_changes_in_place_is_refused(tmp_path):
    folder = tmp_path / "zoo"
    folder.mkdir()
    text = "\n".join(["[b-5-toy]", *(f"{k} = {v!r}" for k, v in TABLE.items() if isinstance(v, str)),
                      'studies = ["zoo"]', "set = 2026-11-21", "accept.laptop = {}"])  # fmt: skip
    (folder / "claims.toml").write_text(text.format([0.9, 1.1]))
    assert (ledger.lock(tmp_path), ledger.lock(tmp_path)) == (1, 0)
    (folder / "claims.toml").write_text(text.format([0.8, 1.1]))
    with pytest.raises(ValueError, match="interval of b-5-toy at scale laptop is not the one that was published"):
        ledger.lock(tmp_path)
    (folder / "claims.toml").write_text("")
    with pytest.raises(ValueError, match="b-5-toy"):
        ledger.lock(tmp_path)


def test_claims_come_in_the_papers_order():
    claims = papers.ledger()
    for a, b in itertools.pairwise(claims):
        assert ledger.PAPERS.index(a.paper) <= ledger.PAPERS.index(b.paper)
    assert papers._order("fig-b-5") < papers._order("fig-b-12")


def test_a_reason_explains_the_verdict_that_it_was_written_for(make):
    reason = {"text": "too narrow", "cause": "width", "on": TABLE["set"], "verdict": "fails", "estimate": 1.25}
    rows = {"zoo": pd.DataFrame({"a": [1]})}
    assert make(measured(1.2, 1.3), reason=reason).judge(rows, "laptop")["reason"] == "too narrow (width)"
    assert "too narrow" not in make(measured(1.0, 1.3), reason=reason).judge(rows, "laptop")["reason"]
    assert Verdict("fails") == "fails" and str(Accepted(-math.inf, 2)) == "≤ 2"


def test_a_retired_row_keeps_what_it_was(make):
    old = make(
        exact(1.0),
        retired="The mean of opposite effects.",
        was={"verdict": "holds", "estimate": 1.29, "scale": "laptop"},
    )
    (line,) = papers.evaluate([old]).to_dict("records")
    assert line["verdict"] is None and line["estimate"] == 1.29
    assert line["reason"] == "The mean of opposite effects. (Was: holds.)"


def test_an_unknown_paper_or_id_is_one_sentence():
    with pytest.raises(ValueError, match="paper is 'nobody2020'; it must be one of"):
        papers.ledger("nobody2020")
    with pytest.raises(ValueError, match="id is 'b-0-none'; no claim"):
        papers.by_id("b-1-log-law", "b-0-none")


def test_an_unknown_study_is_one_sentence(monkeypatch):
    monkeypatch.setattr(papers, "claims", lambda: [ledger.read("b-5-toy", TABLE | {"studies": ["zo"]}, "zoo")])
    with pytest.raises(ValueError, match="claim b-5-toy: study is 'zo'; it must be one of"):
        papers.ledger()


def test_a_theorem_has_no_interval_of_its_own():
    line = papers.evaluate(papers.by_id("b-1-log-law")).iloc[0]
    assert (line["verdict"], line["scale"], line["n"]) == ("holds", "any", None)
    assert line["low"] == line["estimate"] == line["high"] == pytest.approx(math.pi / 4, rel=0.02)


@pytest.fixture(scope="module")
def published():
    """The whole ledger judged on the published rows: {id: line}."""
    return {line["id"]: line for line in papers.evaluate(scale="laptop").to_dict("records")}


def test_a_reason_is_flagged_when_its_verdict_has_changed(published):
    """Of the published rows, where all units of a study are there: reasons explain the verdict that stands."""
    from relbook import registry

    whole = {name for name in registry.STUDIES if registry.rows(name, "laptop", compute=False).missing == 0}
    claims = [c for c in papers.ledger() if c.reason and set(c.studies) <= whole]
    changed = {
        c.id: (str(c.reason.verdict), published[c.id]["verdict"])
        for c in claims
        if c.reason.verdict != published[c.id]["verdict"]
    }
    assert changed == {}, "write a new reason, dated, for the verdict that stands"


def test_a_reason_is_flagged_when_its_number_has_moved(published):
    """The estimate that a reason was written for lies in the interval of today's measurement, but for rounding."""
    moved = {}
    for claim in papers.ledger():
        line = published[claim.id]
        if claim.reason and line["estimate"] is not None:
            near = max(0.02 * abs(line["estimate"]), 0.005)
            if not line["low"] - near <= claim.reason.estimate <= line["high"] + near:
                moved[claim.id] = (claim.reason.estimate, line["low"], line["high"])
    assert moved == {}, "read the reason again, and date it"


def test_every_failure_has_a_reason(published):
    """In the published rows; what fails there without a written reason is named."""
    bare = [c.id for c in papers.ledger() if not c.reason and c.measure and c.kind == "statement" and c.paper != "ours"]
    assert [id_ for id_ in bare if published[id_]["verdict"] == Verdict.FAILS] == []


def test_numbers_are_numbers_and_lie_in_their_intervals(published):
    ends = ("low", "estimate", "high")
    for line in published.values():
        numbers = [line[name] for name in (*ends, "accepted_low", "accepted_high", "n")]
        assert all(value is None or isinstance(value, int | float) for value in numbers), line["id"]
        assert line["estimate"] is None or line["low"] <= line["estimate"] <= line["high"], line["id"]
    assert sum(line["estimate"] is not None for line in published.values()) > len(published) / 2


def test_what_is_open_says_what_would_decide(published):
    open_ = [line for line in published.values() if line["verdict"] not in (Verdict.HOLDS, Verdict.DIFFERS)]
    assert [line["id"] for line in open_ if not line["decides"].strip()] == []


def test_what_entered_is_named_and_counted(published):
    """No unit twice; of networks trained on JPEG copies and on originals never both, where one of them is meant."""
    for line in published.values():
        units = line["units"] or []
        assert len(set(units)) == len(units), line["id"]
        assert not units or line["n"] in (None, len(units)), line["id"]
        if line["population"].startswith("trained here on the JPEG copy"):
            assert all("lossless" not in unit and "mnist" not in unit for unit in units), line["id"]


def test_what_fails_or_is_undecided_says_what_would_decide():
    for claim in papers.ledger():
        if claim.reason:
            assert claim.decides.strip(), claim.id


def test_what_is_remembered_is_the_rows_own():
    """By table and options, for as long as a ledger is judged; a copy, so that no caller changes another's."""
    calls = []

    @measurement.remembered
    def half(rows, *, of="R"):
        calls.append(of)
        return rows[[of]] / 2

    def rows(value):
        return pd.DataFrame({"R": [value], "D": [2 * value]})

    one, other = rows(1.0), rows(3.0)
    with measurement.remembering():
        first = half(one)
        first.loc[0, "R"] = 7.0
        assert half(one)["R"].item() == 0.5 and half(one, of="D")["D"].item() == 1.0
        assert half(other)["R"].item() == 1.5 and calls == ["R", "D", "R"]
        for value in range(5):  # tables at the address of one that is gone
            assert half(rows(value))["R"].item() == value / 2
    one.loc[0, "R"] = 4.0
    assert half(one)["R"].item() == 2.0
