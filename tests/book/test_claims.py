"""Judged claims on a page: rows that unfold, groups, links, and the word of a sentence for each verdict."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from relbook import ledger, page, papers, shown
from relbook.ledger import Verdict
from relbook.press import execute, notebook

LINE = dict.fromkeys(ledger.FIELDS) | {
    "id": "b-5-toy",
    "paper": "petrini2021",
    "section": "4",
    "figure": "fig-b-5",
    "statement": "a < b.",
    "said": "0.97",
    "quantity": "correlation",
    "population": "nine networks",
    "n": 9,
    "estimate": 0.8962,
    "low": 0.6728,
    "high": 0.9823,
    "accepted_low": 0.8,
    "scale": "laptop",
    "verdict": "undecided",
    "kind": "statement",
    "basis": "paper",
    "set": "2026-11-21",
    "because": "scatter",
    "reason": "seeds",
    "decides": "More networks.",
}


def line(**fields):
    return LINE | fields


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("holds", "The law holds"),
        ("fails", "The law does not hold"),
        ("undecided", "The law is undecided"),
        ("differs", "The law differs"),
        ("not tested", "The law is not tested"),
    ],
)
def test_each_verdict_has_its_word(verdict, words):
    assert shown.in_words(verdict, "The law") == words
    assert set(shown.WORDS) == set(shown.MARKS) == set(Verdict)


KINDS = {"slip": "a slip in print", "text and code": "text and code disagree", "asymptotic": "true in its limit"}


def test_the_word_says_how_a_claim_differs():
    for kind, words in (
        ("slip", "a slip in print"),
        ("text and code", "text and code disagree"),
        ("asymptotic", "true in its limit"),
    ):
        assert shown.in_words("differs", difference=kind) == f"differs ({words})"


@pytest.mark.parametrize("verdict", Verdict)
def test_a_sentence_says_the_verdict_of_its_claim(verdict, monkeypatch):
    """Whatever the rows are: the word is that of the line, never typed."""
    import pandas as pd

    found = pd.DataFrame([line(id="b-5-R", verdict=str(verdict))])
    monkeypatch.setattr(papers, "evaluate", lambda chosen: found)
    text = page.told("The law {law.word}, at {law.number}.", law="b-5-R").bundle["text/markdown"]
    assert text == f"The law {shown.WORDS[verdict]}, at 0.896 [0.673, 0.982]."


def made_elsewhere(call):
    """The text of the function of some `tables.py` that gives a call of `page.told` its sentence, if one does."""
    names = re.findall(r"^\s*\w+\.(\w+)\(", call)
    sources = [path.read_text() for path in (Path(page.__file__).parent / "studies").glob("*/tables.py")]
    found = [re.search(rf"^def {name}\(.*?(?=^\S|\Z)", text, re.S | re.M) for name in names for text in sources]
    return "".join(match[0] for match in found if match)


def test_sentences_of_the_notebooks_tell_claims_that_are_judged():
    """Every id in a call of `page.told` is live; every name that it gives is used,
    and with the verdict if it is said.
    """
    live = {claim.id for claim in papers.ledger()}
    calls = 0
    for path in (Path(__file__).parents[2] / "notebooks").rglob("*.md"):
        for call in re.findall(r"^page\.told\((.*?)^(?:\))?```", path.read_text(), re.S | re.M):
            calls += 1
            names = dict(re.findall(r'(\w+)="([abcdo]-[a-zA-Z0-9-]+)"', call))
            assert names and set(names.values()) <= live, path.name
            fields = "|".join(shown.Told._fields)
            used = set(re.findall(rf"\{{(\w+)\.(?:{fields})\}}", call + made_elsewhere(call)))
            assert set(names) == used, path.name
    assert calls >= 8


VERDICTS = r"\b(holds|does not hold|fails|failed|is undecided|is not tested|(W|w)hat differs)\b"


def test_no_verdict_is_typed_in_a_sentence_that_tells_one():
    """In what `page.told` and the lines of `page.in_short` on our results say, verdicts come from claims alone."""
    for path in (Path(__file__).parents[2] / "notebooks").rglob("*.md"):
        for kind, call in re.findall(r"^page\.(told|in_short)\((.*?)^(?:\))?```", path.read_text(), re.S | re.M):
            ours = call if kind == "told" else call.split('",\n', 1)[1]
            assert not re.search(VERDICTS, ours + made_elsewhere(call)), path.name


@pytest.mark.parametrize("verdict", Verdict)
def test_each_told_sentence_can_be_read_with_each_verdict(verdict, monkeypatch):
    """No empty place and no second full stop, whether a row has a reason or not."""
    import pandas as pd

    why = {} if verdict in (Verdict.HOLDS, Verdict.DIFFERS) else {"reason": "0.5 to 0.6 is outside 0.8 to 1"}
    found = pd.DataFrame([line(id="b-5-R", verdict=str(verdict)) | {"reason": ""} | why])
    monkeypatch.setattr(papers, "evaluate", lambda chosen: found)
    text = page.told("It {law.word}. {law.reason}", law="b-5-R").bundle["text/markdown"].strip()
    assert re.fullmatch(r"[^.]+\.( 0\.5 to 0\.6 is outside 0\.8 to 1\.)?", text)


def test_rows_escape_what_they_print_and_unfold_without_scripts():
    html = shown.table([line()], {"b-5-toy": "relbook.studies.zoo.claims.error_correlation"})
    assert "a &lt; b." in html and html.count("<details") == 1 and " open" not in html
    assert '0.896 [0.673, 0.982], n = 9 <em class="claim-check">accepted ≥ 0.8</em></span></summary>' in html
    assert "≥ 0.8 at scale laptop: scatter (set 2026-11-21, paper)" in html
    assert 'data-measure="relbook.studies.zoo.claims.error_correlation"' in html and "More networks." in html


def test_the_choices_of_filters_are_escaped(monkeypatch):
    monkeypatch.setitem(shown.TITLES, line()["paper"], "A & <b>")
    html = shown.grouped([line()])
    assert html.count("A &amp; &lt;b&gt;") == 2 and "<b>:" not in html  # in the filter and in the heading


def test_a_row_names_what_entered():
    few, many = (shown.table([line(units=[f"net<{i}>" for i in range(n)])]) for n in (2, 42))
    assert "<dt>entered</dt><dd>net&lt;0&gt;, net&lt;1&gt;</dd>" in few
    assert "net&lt;39&gt; and 2 more</dd>" in many and "<dt>entered" not in shown.table([line()])


def test_numbers_are_told_as_they_are():
    assert shown.measured(line(estimate=None, low=None, high=None)) == "nothing yet"
    assert shown.measured(line(estimate=-1.5, low=-1.5, high=-1.5, n=None)) == "−1.5"
    assert shown.accepted(line(accepted_low=None, accepted_high=None)) == "none"


def test_only_statements_of_the_papers_are_counted():
    lines = [line(), line(kind="check"), line(paper="ours"), line(verdict=None), line(verdict="holds")]
    assert shown.tally(lines) == {"holds": 1, "fails": 0, "undecided": 1, "differs": 0, "not tested": 0}
    assert shown.counted(lines) == "1 hold, 1 undecided"


def test_groups_by_paper_and_section_are_folded_and_can_be_searched():
    html = shown.grouped(
        [line(), line(id="b-6-toy", section="5"), line(id="a-1-toy", paper="tomasini2023", section="1")]
    )
    assert html.count('class="claim-group"') == 3 and 'type="search"' in html and " open" not in html
    assert "Petrini et al. 2021: 4. Error" in html


def test_a_section_of_checks_says_so():
    html = shown.grouped([line(kind="check"), line(id="b-5-other", kind="check"), line(id="b-5-third")])
    assert "<span>1 undecided, 2 checks</span>" in html
    assert "<span>1 of ours</span>" in shown.grouped([line(id="o-1-toy", paper="ours", section="signs", kind="check")])


def test_every_section_of_the_ledger_has_a_title():
    assert {(c.paper, c.section) for c in papers.ledger()} <= set(shown.SECTIONS)


def drawn():
    notebooks = Path(__file__).parents[2] / "notebooks"
    text = "\n".join(path.read_text() for path in notebooks.rglob("*.md"))
    return set(re.findall(r"name: (fig-[a-z0-9-]+)", text)) | set(re.findall(r"^\((fig-[a-z0-9-]+)\)=", text, re.M))


def test_every_figure_of_a_claim_is_drawn_in_a_notebook():
    of_papers = {claim.figure for claim in papers.ledger() if re.match(r"fig-[abcd]-", claim.figure)}
    assert of_papers - drawn() == set()


OF_THE_PAPERS = [
    *(f"fig-a-{number}" for number in (*range(1, 11), "prop1")),
    *(f"fig-b-{number}" for number in (*range(1, 8), *range(12, 23))),
    *(f"fig-c-{number}" for number in range(1, 8)),
    *(f"fig-d-{name}" for name in ("sphere", "lazy", "lazy-images", "two-pixels")),
    *(
        "fig-a-1-left",
        "fig-a-1-centre",
        "fig-a-1-right",
        "fig-a-4-row-1",
        "fig-a-4-row-2",
        "fig-a-9-top",
        "fig-a-9-bottom",
    ),
    *("fig-b-3-left", "fig-b-3-centre", "fig-b-3-right"),
]


@pytest.mark.parametrize("figure", OF_THE_PAPERS)
def test_every_figure_of_the_papers_has_a_claim(figure):
    assert any(f"{claim.figure}-".startswith(f"{figure}-") for claim in papers.ledger())


def test_a_row_links_to_its_figure():
    """On the page that draws the figure, on another one in its folder, and on a summary page."""
    pages = {"fig-b-5": "petrini2021/04"}
    for name, page_of_figure in (
        ("petrini2021/04", ""),
        ("petrini2021/03", "04.html"),
        ("claims", "petrini2021/04.html"),
        ("slides2022/01", "../petrini2021/04.html"),
    ):
        source = '<a href="#" data-measure="relbook.studies.zoo.claims.error_correlation">measure</a>'
        output = nbformat.v4.new_output("display_data", {"text/html": shown.table([line()]) + source})
        cells = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("table", outputs=[output])])
        notebook.linked(cells, notebook.Source(name, Path(name)), pages)
        html = cells.cells[0].outputs[0]["data"]["text/html"]
        assert f'href="{page_of_figure}#fig-b-5"' in html
        up = "../" * (1 + name.count("/"))
        assert f'href="{up}_modules/relbook/studies/zoo/claims.html#error_correlation"' in html
    output = nbformat.v4.new_output("display_data", {"text/html": shown.table([line()])})
    cells = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("table", outputs=[output])])
    notebook.linked(cells, notebook.Source("claims", Path("claims")), {})  # no notebook draws the figure
    assert 'href="#fig-b-5"' not in cells.cells[0].outputs[0]["data"]["text/html"]


def test_the_notebook_of_a_figure():
    assert notebook.figures(execute.ROOT)["fig-b-1"] == "petrini2021/02_maximum_entropy_diffeomorphisms"


def test_the_state_in_one_sentence():
    table = papers.evaluate(papers.by_id("a-prop1-drift", "b-1-log-law", "a-8-diffusion"))
    assert page.state(table).bundle["text/plain"] == (
        "Of 2 statements of the papers 1 hold, 0 fail, 0 are undecided, 1 differ, and 0 are not tested."
    )
    json.dumps(table.to_dict("records"))


def test_the_box_at_the_top_says_what_the_table_below_it_says():
    said = page.in_short("D is 1/24.", "That it is {drift.word}: {drift.number}.", "A sum.", drift="a-prop1-drift")
    line = papers.evaluate(papers.by_id("a-prop1-drift")).to_dict("records")[0]
    word = shown.in_words(line["verdict"], difference=line["difference"])
    assert f"That it is {word}: " in said.bundle["text/markdown"]
    assert (
        page.in_short("a", "{b}", "c").bundle["text/plain"].splitlines()[1] == "Here. {b}"
    )  # without claims, as it is
