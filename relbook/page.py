"""What a notebook shows: pictures, verdict tables, and where the numbers came from.

Each function returns an object that Jupyter displays when it is the last line of a cell.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from relbook.drawing import beside, style, vector
from relbook.studies.words import listed
from relstab.store import Rows, environment


class Display:
    """Content of one MIME type for a notebook's output cell; `stated` is kept beside it."""

    def __init__(self, *, stated: str = "", **bundle: str | bytes) -> None:
        self.stated = stated
        self.bundle = {kind.replace("_", "/", 1): content for kind, content in bundle.items()}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any] | tuple[dict, dict]:
        return (self.bundle, {"relstab": {"stated": self.stated}}) if self.stated else self.bundle


LONG = 30  # lines; a longer table scrolls in its own frame
SHOWS = ("published", "computed", "both")


def picture(
    fig: Figure | Callable, *rows: pd.DataFrame, show: str = "published", of: Callable | None = None, dpi: int = 160
) -> Display:
    """A matplotlib Figure as a PNG in the book's style; `rows` are the tables it was drawn from, all of them.

    While the book is made, the figure is also kept as SVG and PDF and the plotted numbers as CSV. The page shows the
    SVG, in the theme's colours (`relbook.drawing.vector`), and under it says which rows were drawn (`stated`).

    Args:
        fig: A Figure, or a function of the rows that draws one. The function lets a notebook show what it computed
            itself (`relbook.registry.computed`).
        rows: What `relbook.registry.shown` gave.
        show: "published" rows, "computed" ones, or "both": those computed small and grey beside those published
            (`relbook.drawing.beside`). Where the notebook computed nothing, the rows at hand.
        of: The part of the rows that is drawn, as a function of them, for the caption: its networks and seeds are
            counted. Of several tables, a tuple. None: all.
        dpi: Of the PNG.

    Raises:
        ValueError: Another `show`.

    >>> from matplotlib.figure import Figure
    >>> picture(Figure())._repr_mimebundle_()["image/png"][1:4]
    b'PNG'
    """
    if show not in SHOWS:
        raise ValueError(f"show is {show!r}; it must be one of {', '.join(SHOWS)}")

    def drawn(*tables):
        found = of(*tables) if of else tables
        return found if isinstance(found, tuple) else (found,)

    if callable(fig):
        fig, words = _both(fig, rows, show, drawn)
    else:
        words = stated(*drawn(*rows))
    with style.applied():
        png = _saved(fig, "png", dpi=dpi)
        fig.set_layout_engine(None)  # the other files keep what was found; to find it takes as long as to draw
        if environment.folder("RELSTAB_DOWNLOADS"):
            files = {
                "svg": _saved(fig, "svg", metadata={"Date": None}),
                "pdf": _saved(fig, "pdf", metadata={"CreationDate": None}),
            }
            table = vector.plotted(fig)
            if len(table):
                files["csv"] = table.to_csv(index=False).encode()
            _keep(png, files)
    return Display(image_png=png, text_plain="figure", stated=words)


def _both(draw: Callable, rows: Sequence, show: str, drawn: Callable) -> tuple[Figure, str]:
    """The figure of what is to be shown, and which rows it was drawn from, in words."""
    from relbook import registry

    own = [registry.computed(table) for table in rows]
    if show == "published" or all(table is None for table in own):
        return draw(*rows), stated(*drawn(*rows))
    scale = next(table.scale for table in own if table is not None)
    own = [table if mine is None else mine for table, mine in zip(rows, own, strict=True)]
    if show == "computed":
        return draw(*own), stated(*drawn(*own))
    fig, words = draw(*rows), stated(*drawn(*rows))
    if not beside.beside(fig, draw(*own), f"computed here ({scale})"):
        return fig, words
    sets = _sets(*(part for part in drawn(*own) if getattr(part, "scale", "") == scale))
    where = f", on {listed(sets)}" if sets and sets != _sets(*drawn(*rows)) else ""
    return fig, f"{words} Small and grey: computed by this page itself, at scale {scale}{where}."


def _saved(fig: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def in_short(said: str, found: str, why: str, *, who: str = "The paper", **claims: str) -> Display:
    """The three lines at the top of a chapter: what the paper (`who`) says, what was found here, and why they differ.

    claims: name -> id, whose numbers and verdicts fill `{name.number}`, `{name.word}` in the texts (as in `told`)

    >>> print(in_short("R falls.", "It does.", "Width.").bundle["text/plain"])
    The paper. R falls.
    Here. It does.
    Why. Width.
    """
    from relbook import shown

    lines = {who: said, "Here": found, "Why": why}
    if claims:
        known = _told(claims)
        lines = {name: text.format(**known) for name, text in lines.items()}
    lines = {name: shown.typeset(text) for name, text in lines.items()}
    markdown = "\n>\n".join(f"> **{name}.** {text}" for name, text in lines.items())
    return Display(text_markdown=markdown, text_plain="\n".join(f"{name}. {text}" for name, text in lines.items()))


def stated(*tables: object) -> str:
    """Which rows a figure was drawn from: study, networks, data, seeds, images, scale; "" for rows of no study.

    >>> from relstab.store import Rows
    >>> rows = Rows({"scale": "laptop", "architecture": "lenet", "dataset": "mnist", "seed": [0, 1, 1]})
    >>> stated(rows.of("zoo", "laptop").assign(probes=500))
    'Rows of the study zoo: 2 networks on MNIST, seeds 0 and 1, 500 images a measurement, scale laptop.'
    """
    return " ".join(_stated(rows) for rows in tables if isinstance(rows, Rows) and rows.study and not rows.empty)


NETS = {"architecture", "network", "layers"}  # columns of which a study of networks has one
ENCODINGS = {
    "cifar10": "CIFAR-10", "cifar10-jpeg": "CIFAR-10 (JPEG copies)", "cifar10-lossless": "CIFAR-10 (original images)",
    "cifar10-lossless-8k": "8,068 original images of CIFAR-10", "cifar10-8k-jpeg75": "JPEG copies of these",
    "fashion-mini": "3,000 images of Fashion-MNIST", "fashion-mini-jpeg75": "JPEG copies of these",
    "fashion-mnist": "Fashion-MNIST", "mnist": "MNIST",
    "imagenet": "ImageNet",
}  # fmt: skip


def _stated(rows: Rows) -> str:
    parts = []
    if count := _units(rows):
        noun = "network" if NETS & set(rows) and "member" not in rows else "setting"
        sets = _sets(rows)
        where = f" on {listed(sets)}" if sets else ""
        each = f" of {_seeds(rows)} seeds" if "member" in rows else ""
        parts.append(f"{count:,} {noun}{'s' * (count > 1)}{each}{where}")
    if "seed" in rows and "member" not in rows:
        seeds = sorted({int(seed) for seed in rows["seed"].dropna()})
        run = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
        many = f"{seeds[0]} to {seeds[-1]}" if run else listed(map(str, seeds))
        parts.append(f"seed{'s' * (len(seeds) > 1)} {many}")
    if "probes" in rows and (probes := sorted({int(count) for count in rows["probes"].dropna()})):
        parts.append(f"{' or '.join(map(str, probes))} images a measurement")
    found = list(dict.fromkeys(rows["scale"])) if "scale" in rows else [rows.scale]
    parts.append(f"scale{'s' * (len(found) > 1)} {' and '.join(found)}")
    return f"Rows of the study {rows.study}: {', '.join(parts)}."


def _sets(*tables: pd.DataFrame) -> list[str]:
    """The data sets of tables of rows, as captions name them.

    >>> _sets(pd.DataFrame({"dataset": ["mnist", None, "mnist"]}), pd.DataFrame({"seed": [0]}))
    ['MNIST']
    """
    names = [name for table in tables if "dataset" in table for name in table["dataset"].dropna()]
    return [ENCODINGS.get(name, name) for name in dict.fromkeys(names)]


def _units(rows: Rows) -> int:
    """How many networks, or settings, rows came from; 0 where a study is not of this book and does not say."""
    from relbook import registry

    if rows.study not in registry.STUDIES:
        return rows.units - rows.missing
    if "name" in rows:  # networks of others, of which one may have several units
        return rows["name"].nunique()
    settings = _settings(rows)
    return len(rows[settings].astype(str).drop_duplicates()) if settings else 0


def _settings(rows: Rows) -> list[str]:
    """The columns in which units differ; of ensembles, whose units are parts of the seeds, all but those of seeds."""
    from dataclasses import fields

    from relbook import registry

    configs = registry.configs(rows.study, rows.scale)
    names = [field.name for kind in {type(config) for config in configs} for field in fields(kind)]
    without = {"seed", "members"} if "member" in rows else set()
    return [name for name in dict.fromkeys(names) if name in rows and name not in without]


def _seeds(rows: Rows) -> str:
    """How many seeds the settings of ensembles have, from fewest to most."""
    counts = rows["member"].groupby([rows[name].astype(str) for name in _settings(rows)]).nunique()
    return " to ".join(map(str, dict.fromkeys([counts.min(), counts.max()])))


def hashed(shown: bytes) -> str:
    """The name under which the files of a picture are kept: a hash of the PNG (or HTML) in the page.

    >>> len(hashed(b""))
    16
    """
    return hashlib.sha256(shown).hexdigest()[:16]


def _keep(shown: bytes, files: Mapping[str, bytes]) -> None:
    """Leave files for the runner in RELSTAB_DOWNLOADS, under a hash of what the page shows
    (`relbook.press.downloads`).
    """
    folder = environment.folder("RELSTAB_DOWNLOADS")
    if folder:
        for name, content in files.items():
            Path(folder, f"{hashed(shown)}.{name}").write_bytes(content)


def table(frame: pd.DataFrame, **whole: pd.DataFrame) -> Display:
    """A table of a few columns; `whole` are tables that the reader may take as CSV, under their names.

    >>> import pandas as pd
    >>> table(pd.DataFrame({"family": ["dense"], "R": [0.123456]})).bundle["text/plain"].split()
    ['family', 'R', 'dense', '0.12']
    """
    from relbook import shown

    frame = frame.map(lambda value: shown.typeset(value) if isinstance(value, str) else value)
    options = {"index": False, "float_format": lambda value: f"{value:.2f}".replace("-", "−")}
    long = len(frame) > LONG
    html = f'<div class="table-frame{" long" * long}">{frame.to_html(border=0, **options)}</div>'
    if long:
        html = f'<p class="table-note">{len(frame)} lines: the table scrolls in its frame ↓</p>{html}'
    _keep(html.encode(), {f"{name}.csv": part.to_csv(index=False).encode() for name, part in whole.items()})
    return Display(text_html=html, text_plain=frame.to_string(**options))


def verdicts(paper: str, *figures: str, scale: str | None = None, rows: Mapping | None = None) -> Display:
    """The claims on these figures, or of a paper, judged: a table whose rows unfold (`relbook.shown`).

    Args:
        scale: None judges each claim at the largest scale that decides.
    """
    from relbook import papers

    return _judged(papers.on(paper, *figures), scale=scale, rows=rows)


def cards(*ids: str) -> Display:
    """The claims with these ids, judged at the largest scale that decides."""
    from relbook import papers

    return _judged(papers.by_id(*ids))


def _judged(chosen: Iterable, **options: Any) -> Display:
    from relbook import papers, shown

    table = papers.evaluate(chosen, **options)
    lines = table.to_dict("records")
    return Display(text_html=shown.table(lines, papers.sources(chosen)), text_plain=table.to_string())


def caveat(quantity: str = "R") -> Display:
    """What belongs beside a number of networks trained on `cifar10-jpeg`: the factor that training on copies makes.

    Args:
        quantity: "R", "D", "G" or "test_error"; from the pairs of networks of the study `encoding`.
    """
    from relbook import registry
    from relbook.studies.encoding import tables

    return Display(text_markdown=tables.caveat(registry.shown("encoding", "laptop"), quantity))


def sentence(text: str) -> Display:
    """A computed sentence as a paragraph.

    >>> sentence("All hold.").bundle["text/plain"]
    'All hold.'
    """
    from relbook import shown

    text = shown.typeset(text)
    return Display(text_markdown=text, text_plain=text)


def told(text: str, **claims: str) -> Display:
    """A paragraph whose numbers and verbs are those of claims: `{name.number}`, `{name.estimate}`, `{name.n}`,
    `{name.word}`.

    Args:
        text: Markdown; `{name.word}` is the verb for the verdict (`relbook.shown.in_words`), so that no sentence
            says the opposite of the table below it.
        claims: name -> id.
    """
    from relbook import shown

    text = shown.typeset(text.format(**_told(claims)))
    return Display(text_markdown=text, text_plain=text)


def _told(claims: Mapping[str, str]) -> dict:
    from relbook import papers, shown

    table = papers.evaluate(papers.by_id(*claims.values())).set_index("id")
    return {name: shown.Told.of(table.loc[id_].to_dict()) for name, id_ in claims.items()}


def findings(table: pd.DataFrame) -> Display:
    """The discrepancies of `relbook.findings.summary`, each linked to its section of the page."""
    import html

    from relbook import shown

    lines, heads = [], ("what, where", "kind", "size of the effect", "this book")
    for row in table.to_dict("records"):
        cell = {name: re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(str(v))) for name, v in row.items()}
        cell |= {name: shown.typeset(cell[name]) for name in ("effect", "choice")}
        verdicts = f"<br><em>claims: {cell['verdicts']}</em>" if row["verdicts"] else ""
        lines.append(
            f'<tr><td><a href="#{cell["anchor"]}">{cell["title"]}</a><br>{cell["place"]}</td>'
            f'<td data-head="{heads[1]}">{cell["kind"]}</td>'
            f'<td data-head="{heads[2]}">{cell["effect"]}{verdicts}</td>'
            f'<td data-head="{heads[3]}">{cell["choice"]}</td></tr>'
        )
    heads = "".join(f"<th>{name}</th>" for name in heads)
    return Display(
        text_html=f"<div "
        f'class="findings"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>',
        text_plain=table.to_string(),
    )


def failures(rows: Rows) -> Display | pd.DataFrame:
    """The networks of the zoo that diverged or collapsed, or the sentence that none did."""
    from relbook.studies.zoo import tables as zoo_tables

    table = zoo_tables.failures(rows)
    if len(table):
        return table
    count = int((rows["kind"] == "training").sum())
    text = f"None of the {count} networks diverged or collapsed."
    return Display(text_markdown=text, text_plain=text)


def ledger(table: pd.DataFrame) -> Display:
    """All lines of a table of `relbook.papers.evaluate`, by paper and section, with a search that needs no kernel."""
    from relbook import papers, shown

    chosen = papers.by_id(*table["id"])
    html = shown.grouped(table.to_dict("records"), papers.sources(chosen))
    _keep(html.encode(), {"claims.csv": table.to_csv(index=False).encode()})
    return Display(text_html=html, text_plain=table.to_string())


def state(table: pd.DataFrame) -> Display:
    """One sentence: how many statements of the papers came out how."""
    from relbook import shown

    lines = table.to_dict("records")
    counts = {name: f"**{count}**" for name, count in shown.tally(lines).items()}
    text = (
        f"Of {sum(shown.tally(lines).values())} statements of the papers {counts['holds']} hold, "
        f"{counts['fails']} fail, "
        f"{counts['undecided']} are undecided, {counts['differs']} differ, and {counts['not tested']} are not tested."
    )
    return Display(text_markdown=text, text_plain=text.replace("*", ""))


CHAPTERS = ("petrini2021", "tomasini2023", "ruderman2018", "slides2022", "ours")  # in the order of the book


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """How many statements of such a table came out how: a line a paper. Checks and our own statements do not count."""

    from relbook import shown

    parts = dict(list(table.groupby("paper")))
    counts = {
        shown.TITLES[name].replace(" et al.", ""): shown.tally(parts[name].to_dict("records"))
        for name in CHAPTERS
        if name in parts
    }
    found = pd.DataFrame(counts).T
    return found[found.sum(axis=1) > 0]


def basis(table: pd.DataFrame) -> Display:
    """One sentence: what was known when the intervals of these claims were set."""
    known = table.loc[table["verdict"].notna(), "basis"].value_counts()
    paper, prototype, after = (int(known.get(name, 0)) for name in ("paper", "prototype", "after rows"))
    return sentence(
        f"Of the {paper + prototype + after} rows of the ledger {prototype} have an interval that was set after "
        f"prototypes of the same experiments, {after} one that was set when rows of the study, or some of them, were "
        f"known, and {paper} one from the paper alone. Each row says which."
    )


def status() -> pd.DataFrame:
    """Per study and scale: units that exist, units left, hours spent and left, machines, versions and commits."""

    from relbook import registry, scales
    from relstab import store

    lines = []
    for study in registry.names():
        for scale in scales.SCALES:
            configs = registry.configs(study, scale)
            units = store.provenance(configs)
            left = sum(getattr(config, "cost_minutes", 0) or 0 for config in configs) / 60
            line = {
                "study": study,
                "scale": scale,
                "units": len(configs),
                "done": len(units),
                "estimated hours in all": round(left, 2) or ("< 0.01" if left else 0.0),
            }
            if len(units):
                line |= {"hours spent": round(units["seconds"].sum() / 3600, 2)}
                line |= {
                    name: ", ".join(sorted({str(v)[: 10 if name == "commit" else None] for v in units[name]}))
                    for name in ("device", "torch", "python", "commit")
                }
            lines.append(line)
    table = pd.DataFrame(lines).astype(object)  # so that empty places may hold no number
    return table.where(table.notna(), "").set_index(["study", "scale"])


def benchmark(name: str) -> Display:
    """Times per image of benchmarks/results/<name>.json, a line a case, and the machine they were measured on.

    Raises FileNotFoundError where there is no such file: results come with a source checkout.
    """
    import html
    import json

    from relstab.store import origin

    path = origin.PACKAGE.parent / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"benchmark is {name!r}: there is no {path}; `relstab bench {name}` writes it")
    record = json.loads(path.read_text())
    tables = {
        heading: pd.DataFrame(rows).set_index(["what", "fields"])[["ms per image", "times relstab"]]
        for heading, rows in record["tables"].items()
    }
    table = pd.concat(tables, axis=1, sort=False).map(lambda value: "–" if pd.isna(value) else f"{value:.3g}")
    table.index.names = [None, None]
    machine = f"Measured: {', '.join(f'{key} {value}' for key, value in record['machine'].items())}."
    return Display(
        text_html=f"{table.to_html()}<p>{html.escape(machine)}</p>", text_plain=f"{table.to_string()}\n{machine}"
    )


def source(rows: Rows) -> Display:
    """One sentence: the scale of the rows shown, the machine, the versions and the commit they come from.

    Args:
        rows: what `relbook.registry.shown` returns.
    """
    from relbook import registry
    from relstab import store

    study, scale = rows.study, rows.scale
    units = store.provenance(registry.configs(study, scale))
    minutes = units["seconds"].sum() / 60
    untraced = int((units["dirty"].astype(object) != False).sum())  # noqa: E712 - None and NaN count, too
    text = (
        f"Scale {scale}: {len(units)} units of the study {study}, {minutes:.1f} minutes in all on "
        f"{', '.join(sorted(set(units['device'])))}; torch {', '.join(sorted(set(units['torch'])))}; "
        f"commit {', '.join(sorted({str(commit)[:10] for commit in units['commit']}))}."
        + (f" **{untraced} of them come from code with local changes.**" if untraced else "")
        + (f" {rows.missing} units of this scale are not computed yet." if rows.missing else "")
    )
    return Display(text_markdown=text, text_plain=text)
