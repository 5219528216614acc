"""Judged claims as HTML and in sentences: a table whose rows unfold, groups by section, the word for a verdict.

>>> in_words("holds"), in_words("undecided", "The law")
('holds', 'The law is undecided')
"""

import html
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relbook.ledger import Verdict

MARKS = {Verdict.HOLDS: "✓", Verdict.FAILS: "✗", Verdict.UNDECIDED: "?", Verdict.DIFFERS: "≠", Verdict.NOT_TESTED: "–"}
WORDS = {
    Verdict.HOLDS: "holds",
    Verdict.FAILS: "does not hold",
    Verdict.UNDECIDED: "is undecided",
    Verdict.DIFFERS: "differs",
    Verdict.NOT_TESTED: "is not tested",
}
MEANS = {
    Verdict.HOLDS: "the whole interval of the measurement is accepted",
    Verdict.FAILS: "none of the interval of the measurement is accepted",
    Verdict.UNDECIDED: "the measurement straddles an end of what is accepted, or too few networks or seeds entered",
    Verdict.DIFFERS: "not accepted, but in a second interval that was declared beforehand",
    Verdict.NOT_TESTED: "nothing that was run can tell",
}
TITLES = {
    "tomasini2023": "Tomasini et al. 2023",
    "petrini2021": "Petrini et al. 2021",
    "ruderman2018": "Ruderman et al. 2018",
    "slides2022": "Slides 2022",
    "ours": "Ours",
}
SECTIONS = {
    ("tomasini2023", "1"): "1. Sensitivities and error",
    ("tomasini2023", "2"): "2. Pooling in real networks",
    ("tomasini2023", "3"): "3. Scale detection",
    ("tomasini2023", "4"): "4. Theory",
    ("tomasini2023", "A"): "Appendix A",
    ("tomasini2023", "draft"): "The draft of 2022",
    ("petrini2021", "2"): "2. Random deformations",
    ("petrini2021", "3"): "3. Relative stability",
    ("petrini2021", "4"): "4. Error",
    ("petrini2021", "5"): "5. Stability and noise",
    ("petrini2021", "6"): "6. Stripe model",
    ("petrini2021", "7"): "7. A reason",
    ("petrini2021", "8"): "8. Discussion",
    ("petrini2021", "F"): "Appendix F",
    ("slides2022", "1"): "Stability, lazy and feature training",
    ("ruderman2018", "2"): "2. Deformations",
    ("ruderman2018", "3"): "3. Learned stability",
    ("ruderman2018", "4"): "4. Smooth filters",
    ("ruderman2018", "5"): "5. Random labels",
    ("ruderman2018", "6"): "6. Discussion",
    ("ours", "error"): "Training on JPEG copies",
    ("ours", "others"): "Networks from public repositories",
    ("ours", "signs"): "The sign of D",
    ("ours", "training"): "Along training, and over widths",
}


VERBATIM = {"id", "figure", "paper", "scale", "supersedes"}  # names, not text
NAMED = 40  # networks or seeds that a row names


def in_words(verdict: str, subject: str = "", *, difference: str | None = None) -> str:
    """The verb of a sentence about a claim; every sentence of the book that reports a verdict has it from here.

    >>> in_words("differs", "The constant", difference="slip")
    'The constant differs (a slip in print)'
    """
    word = WORDS[Verdict(verdict)]
    kinds = {"slip": "a slip in print", "text and code": "text and code disagree", "asymptotic": "true in its limit"}
    if verdict == Verdict.DIFFERS and difference:
        word = f"{word} ({kinds[difference]})"
    return f"{subject} {word}".strip()


def typeset(text: str) -> str:
    """Negative numbers with a minus sign, not a hyphen, and percent signs apart from their number.

    >>> typeset("-0.5 to +0.2 (-1), VGG-11; 92%, 3 %")
    '−0.5 to +0.2 (−1), VGG-11; 92\xa0%, 3\xa0%'
    """
    text = re.sub(r"(?<![^ (\[])-(?=\.?[0-9])", "−", text)
    return re.sub(r"(?<=[0-9]) ?%", "\N{NO-BREAK SPACE}%", text)


def number(value: float | int | None, digits: int = 3) -> str:
    """A number as a page prints it; a dash where there is none.

    >>> number(0.031649), number(1234.5), number(None), number(-0.0)
    ('0.0316', '1234', '–', '0')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}".replace("-", "−")


def accepted(line: Mapping) -> str:
    """The accepted interval of a line in words.

    >>> accepted({"accepted_low": 0.8, "accepted_high": None})
    '≥ 0.8'
    """
    low, high = line["accepted_low"], line["accepted_high"]
    if low is None and high is None:
        return "none"
    if high is None or low is None:
        return f"≥ {number(low)}" if high is None else f"≤ {number(high)}"
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def measured(line: Mapping) -> str:
    """What was measured, its interval and how many units entered; nothing where networks of scale tiny cannot tell."""
    if line["estimate"] is None or (line["verdict"] == Verdict.NOT_TESTED and line["scale"] == "tiny"):
        return "nothing yet"
    text = number(line["estimate"])
    if line["low"] is not None and line["low"] < line["high"]:
        text += f" [{number(line['low'])}, {number(line['high'])}]"
    return text + (f", n = {line['n']}" if line["n"] else "")


class Told(NamedTuple):
    """What a sentence may say of a claim."""

    number: str
    estimate: str
    n: str
    verdict: str
    word: str
    reason: str = ""
    asked: str = ""

    @classmethod
    def of(cls, line: Mapping) -> "Told":
        """From a line of `relbook.papers.evaluate`."""
        text = measured(line).partition(", n = ")[0]
        word = in_words(line["verdict"], difference=line["difference"])
        why = re.sub(r" \([^()]*\)$", "", line.get("reason") or "")  # without the word for its cause
        why = f"{why[:1].upper()}{why[1:]}." if why else ""
        asked = accepted(line)
        return cls(text, number(line["estimate"], 2), str(line["n"] or "no"), line["verdict"], word, why, asked)


def tally(lines: Iterable[Mapping]) -> dict[str, int]:
    """How many statements of the papers came out how; checks, statements of ours and superseded rows do not count."""
    counts = dict.fromkeys(map(str, Verdict), 0)
    for line in lines:
        if line["kind"] == "statement" and line["paper"] != "ours" and line["verdict"]:
            counts[line["verdict"]] += 1
    return counts


def counted(lines: Iterable[Mapping]) -> str:
    """The tally in words, verdicts that do not occur left out."""
    return ", ".join(f"{count} {WORDS_OF_MANY[verdict]}" for verdict, count in tally(lines).items() if count)


WORDS_OF_MANY = {
    "holds": "hold",
    "fails": "fail",
    "undecided": "undecided",
    "differs": "differ",
    "not tested": "not tested",
}


def _summary(lines: Iterable[Mapping]) -> str:
    """The tally of a section in words, with the checks and statements of ours in it, which do not count."""
    ours = sum(line["paper"] == "ours" for line in lines)
    checks = sum(line["kind"] == "check" and line["paper"] != "ours" for line in lines)
    parts = [counted(lines), f"{ours} of ours" * bool(ours), f"{checks} check{'s' * (checks > 1)}" * bool(checks)]
    return ", ".join(filter(None, parts))


def table(lines: Iterable[Mapping], sources: Mapping[str, str] | None = None) -> str:
    """Lines of `relbook.papers.evaluate` as HTML: a row a claim, which unfolds; works without scripts.

    Args:
        sources: {claim id: dotted name of the function that measures}; the book links it to its source.
    """
    head = "".join(f"<span>{name}</span>" for name in ("verdict", "statement", "paper", "ours"))
    rows = "".join(_row(line, (sources or {}).get(line["id"])) for line in lines)
    return f'<div class="claims"><div class="claims-head" aria-hidden="true">{head}</div>{rows}</div>'


def _row(line: Mapping, source: str | None) -> str:
    cell = {name: "" if value is None else str(value) for name, value in line.items()}
    cell = {name: html.escape(text if name in VERBATIM else typeset(text)) for name, text in cell.items()}
    verdict = line["verdict"] or "superseded"
    mark = MARKS.get(line["verdict"], "·")
    kind = f" ({cell['difference']})" if line["difference"] else ""
    check = ' <em class="claim-check">check</em>' if line["kind"] == "check" else ""
    data = f'data-paper="{cell["paper"]}" data-verdict="{verdict}" data-scale="{cell["scale"]}"'
    figure = f'data-figure="{cell["figure"]}"'
    scale = f" at scale {cell['scale']}" if line["scale"] not in (None, "any") else ""
    entries = [("measured", cell["quantity"]), ("on", cell["population"])]
    if line["units"]:
        named, more = line["units"][:NAMED], len(line["units"]) - NAMED
        entries.append(("entered", html.escape(", ".join(named)) + (f" and {more} more" if more > 0 else "")))
    known = html.escape(measured(line))
    if line["accepted_low"] is not None or line["accepted_high"] is not None:
        known += f' <em class="claim-check">accepted {accepted(line)}</em>'
        because = f": {cell['because']}" if line["because"] else ""
        entries.append(("accepted", f"{accepted(line)}{scale}{because} (set {cell['set']}, {cell['basis']})"))
    entries += [("why", cell["reason"]), ("decides", cell["decides"]), ("supersedes", cell["supersedes"])]
    code = (
        f', <a href="#" data-measure="{html.escape(source)}"><code>{html.escape(source.rpartition(".")[2])}</code></a>'
        if source
        else ""
    )
    entries.append(("see", f'<a href="#{cell["figure"]}" {figure}>the figure</a>{code}; id <code>{cell["id"]}</code>'))
    more = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in entries if text)
    return (
        f'<details class="claim claim-{verdict.split()[0]}" id="claim-{cell["id"]}" {data}><summary>'
        f'<span class="verdict" title="{MEANS.get(line["verdict"], "another row has taken its place")}"><b>{mark}</b> '
        f"{verdict}{kind}{check}</span><span>{cell['statement']}</span>"
        f"<span>{cell['said']}</span><span>{known}</span></summary><dl>{more}</dl></details>"
    )


def grouped(lines: Iterable[Mapping], sources: Mapping[str, str] | None = None) -> str:
    """The same by paper and section, each section folded under a line that counts its verdicts,
    below a search field.
    """
    lines = list(lines)
    filters = []
    for name in ("paper", "verdict"):
        values = dict.fromkeys(line[name] or "superseded" for line in lines)
        options = "".join(f'<option value="{v}">{html.escape(TITLES.get(v, v))}</option>' for v in values)
        filters.append(f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>')
    search = '<label>search <input type="search" name="q" placeholder="words, a figure, an id"></label>'
    form = (
        f'<form class="claim-filters" role="search">{search}{"".join(filters)}<output '
        'aria-live="polite"></output></form>'
    )
    groups = {}
    for line in lines:
        groups.setdefault((line["paper"], line["section"]), []).append(line)
    parts = []
    for (paper, section), members in groups.items():
        title = f"{TITLES[paper]}: {SECTIONS.get((paper, section), section)}"
        count = _summary(members)
        parts.append(
            f'<details class="claim-group"><summary><b>{html.escape(title)}</b> <span>{count}</span></summary>'
            f"{table(members, sources)}</details>"
        )
    return f'{form}<div class="claim-groups">{"".join(parts)}</div>'
