"""The ledger: verdicts follow from numbers, and every one of the four can come out."""

import math
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from relbook.claims import Claim, Interval, everywhere, within

from relbook import claims, page, scales
from relbook.press import execute, notebook


def make(value, tolerance=None, **options):
    return Claim(
        id="b-0-toy", paper="petrini2021", figure="fig-b-0", statement="toy", paper_value="1", quantity="value",
        measure=lambda rows: value, tolerance=tolerance or everywhere(Interval(0.9, 1.1)), **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1.0, "holds"),
        (1.1, "holds"),
        (1.2, "fails"),
        (math.inf, "fails"),
        (math.nan, "not testable at this scale"),
    ],
)
def test_verdict_follows_from_the_number(value, verdict):
    assert make(value).judge(None, "tiny")["verdict"] == verdict


def test_paper_errs_only_where_the_corrected_value_is_measured():
    claim = make(1.274, corrected=(Interval(1.2, 1.35), "exactly 1.274"))
    assert claim.judge(None, "tiny")["verdict"] == "the paper errs"
    assert claim.judge(None, "tiny")["reason"] == "exactly 1.274"
    assert make(2.0, corrected=(Interval(1.2, 1.35), "")).judge(None, "tiny")["verdict"] == "fails"


def test_a_correction_that_overlaps_the_tolerance_is_refused():
    with pytest.raises(ValueError, match="overlaps"):
        make(1.0, corrected=(Interval(1.05, 1.3), ""))


def test_a_scale_without_tolerance_is_not_testable_and_says_why():
    claim = make(1.0, {"laptop": Interval(0, 2)}, not_testable="too few images")
    row = claim.judge(None, "tiny")
    assert (row["verdict"], row["reason"]) == ("not testable at this scale", "too few images")
    with pytest.raises(ValueError, match="does not say why"):
        make(1.0, {"laptop": Interval(0, 2)})


def test_without_rows_nothing_holds():
    claim = make(1.0, study="zoo")
    for rows in (None, pd.DataFrame()):
        assert claim.judge(rows, "tiny")["verdict"] == "not testable at this scale"


def test_interval_is_checked_and_printed():
    assert 0.5 in Interval(0.5, 1) and 0.49 not in Interval(0.5, 1)
    assert [str(i) for i in (Interval(high=2), Interval(low=3), within(-2, 0.5))] == [
        "≤ 2",
        "≥ 3",
        "-3 to -1",
    ]
    with pytest.raises(ValueError, match="empty"):
        Interval(1, 0)


def test_ledger_is_well_formed():
    ledger = claims.ledger()
    assert len({claim.id for claim in ledger}) == len(ledger) > 0
    letters = dict(zip(claims.PAPERS, "abcd", strict=True))
    for claim in ledger:
        assert claim.id.startswith(letters[claim.paper] + "-"), claim.id
        assert claim.id.startswith(claim.figure.removeprefix("fig-").split("-")[0]), claim.id
        assert claim.figure.startswith("fig-")
        assert claim.statement.endswith(".")
        assert set(claim.tolerance) <= set(scales.SCALES)


def test_every_figure_of_a_claim_is_drawn_in_a_notebook():
    import re
    from pathlib import Path

    text = "\n".join(path.read_text() for path in (Path(__file__).parents[2] / "notebooks").rglob("*.md"))
    drawn = set(re.findall(r"name: (fig-[a-z0-9-]+)", text))
    assert {claim.figure for claim in claims.ledger()} <= drawn


def test_unknown_paper_is_one_clear_sentence():
    with pytest.raises(ValueError, match="paper is 'nobody2020'; it must be one of"):
        claims.ledger("nobody2020")


def test_cards_escape_what_they_print():
    table = pd.DataFrame([make(5.0).judge(None, "tiny") | {"statement": "a < b"}])
    html = claims.in_page(table)
    assert "a &lt; b" in html and 'class="claim claim-fails"' in html


@pytest.mark.parametrize(
    ("values", "scale", "verdict"),
    [
        ({"tiny": 1.0, "laptop": 5.0}, "laptop", "fails"),
        ({"tiny": 1.0, "laptop": math.nan}, "tiny", "holds"),
        ({"tiny": 1.0}, "tiny", "holds"),
        ({}, "tiny", "not testable at this scale"),
    ],
)
def test_a_claim_is_judged_at_the_largest_scale_that_can_tell(monkeypatch, values, scale, verdict):
    def rows(study, one, *, compute):
        assert not compute
        return pd.DataFrame({"value": [values[one]]} if one in values else {})

    monkeypatch.setattr("relbook.registry.rows", rows)
    claim = Claim(
        id="b-0-toy", paper="petrini2021", figure="fig-b-0", statement="toy", paper_value="1", quantity="value",
        measure=lambda table: table["value"].iloc[0], tolerance=everywhere(Interval(0.9, 1.1)), study="zoo",
    )  # fmt: skip
    row = claims.evaluate([claim]).iloc[0]
    assert (row["scale"], row["verdict"]) == (scale, verdict)


def test_a_card_links_to_its_figure_and_to_how_it_was_measured():
    """On the page that draws the figure, on another one in its folder, and on a summary page."""
    table = claims.evaluate(claims.ledger("petrini2021")[:1])
    (figure,) = table["figure"]
    pages = {figure: "petrini2021/02"}
    for name, page_of_figure in (("petrini2021/02", ""), ("petrini2021/03", "02.html"), ("claims", "petrini2021/02.html"),
                                 ("slides2022/01", "../petrini2021/02.html")):  # fmt: skip
        output = nbformat.v4.new_output("display_data", {"text/html": claims.in_page(table)})
        cells = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("table", outputs=[output])])
        notebook.linked(cells, notebook.Source(name, Path(name)), pages)
        html = cells.cells[0].outputs[0]["data"]["text/html"]
        assert f'href="{page_of_figure}#{figure}"' in html and f'href="{page_of_figure}#run-or-load"' in html


def test_the_notebook_of_a_figure():
    assert notebook.figures(execute.ROOT)["fig-b-1"] == "petrini2021/02_maximum_entropy_diffeomorphisms"


def test_the_state_in_one_sentence():
    def line(verdict, scale):
        return {"verdict": verdict, "scale": scale}

    table = pd.DataFrame([line("holds", "tiny"), line("holds", "laptop"), line("fails", "laptop"),
                          line("the paper errs", "tiny"), line(claims.VERDICTS[3], "gpu")])  # fmt: skip
    assert page.state(table).bundle["text/plain"] == (
        "Of 5 claims 2 hold, 1 fail, 1 show an error in a paper and 1 cannot be tested at the scales run so far. "
        "Judged: 2 at scale tiny, 2 at scale laptop."
    )
