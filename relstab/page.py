"""What a notebook shows: pictures, verdict tables, and where the numbers came from.

Each function returns an object that Jupyter displays when it is the last line of a cell.
"""

import hashlib
import io
import os
from pathlib import Path

from relstab import vector
from relstab.figures import style


class Display:
    """Content of one MIME type for a notebook's output cell; `stated` is kept beside it."""

    def __init__(self, *, stated="", **bundle):
        self.stated = stated
        self.bundle = {kind.replace("_", "/", 1): content for kind, content in bundle.items()}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return (self.bundle, {"relstab": {"stated": self.stated}}) if self.stated else self.bundle


def picture(fig, rows=None, *, dpi=160):
    """A matplotlib Figure as a PNG in the book's style; `rows` are what it was drawn from.

    While the book is made, the figure is also kept as SVG and PDF and the plotted numbers as CSV. The page shows the
    SVG, in the theme's colours (`relstab.vector`), and under it says which rows were drawn (`stated`).

    >>> from matplotlib.figure import Figure
    >>> picture(Figure())._repr_mimebundle_()["image/png"][1:4]
    b'PNG'
    """
    with style.applied():
        png = _saved(fig, "png", dpi=dpi)
        if os.environ.get("RELSTAB_DOWNLOADS"):
            files = {
                "svg": _saved(fig, "svg", metadata={"Date": None}),
                "pdf": _saved(fig, "pdf", metadata={"CreationDate": None}),
            }
            table = vector.plotted(fig)
            if len(table):
                files["csv"] = table.to_csv(index=False).encode()
            _keep(png, files)
    return Display(image_png=png, text_plain="figure", stated=stated(rows))


def _saved(fig, kind, **options):
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def stated(rows) -> str:
    """Which rows a figure was drawn from, in words: study, units, seeds, images, scale; "" for rows of no study.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"scale": "laptop", "seed": [0, 1, 1], "probes": 500})
    >>> rows.attrs |= {"study": "zoo", "units": 2, "scale": "laptop"}
    >>> stated(rows)
    'Rows of the study zoo: 2 units, seeds 0 and 1, 500 images a measurement, scale laptop.'
    """
    if rows is None or "study" not in rows.attrs or rows.empty:
        return ""
    parts = []
    if "units" in rows.attrs:
        parts.append(f"{rows.attrs['units'] - rows.attrs.get('missing', 0)} units")
    if "seed" in rows:
        seeds = sorted({int(seed) for seed in rows["seed"].dropna()})
        many = f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(len(seeds))) and len(seeds) > 2 else None
        parts.append(f"seed{'s' * (len(seeds) > 1)} {many or ' and '.join(map(str, seeds))}")
    if "probes" in rows:
        probes = sorted({int(count) for count in rows["probes"].dropna()})
        parts.append(f"{' or '.join(map(str, probes))} images a measurement")
    found = list(dict.fromkeys(rows["scale"])) if "scale" in rows else [rows.attrs["scale"]]
    parts.append(f"scale{'s' * (len(found) > 1)} {' and '.join(found)}")
    return f"Rows of the study {rows.attrs['study']}: {', '.join(parts)}."


def hashed(shown: bytes) -> str:
    """The name under which the files of a picture are kept: a hash of the PNG (or HTML) in the page.

    >>> len(hashed(b""))
    16
    """
    return hashlib.sha256(shown).hexdigest()[:16]


def _keep(shown, files):
    """Leave files for the runner in RELSTAB_DOWNLOADS, under a hash of what the page shows (`relstab.downloads`)."""
    folder = os.environ.get("RELSTAB_DOWNLOADS")
    if folder:
        for name, content in files.items():
            Path(folder, f"{hashed(shown)}.{name}").write_bytes(content)


def verdicts(paper, *figures, scale=None, rows=None):
    """The claims of these figures with their verdicts, as cards; see `relstab.claims`.

    scale: None judges, per claim, at the largest scale with results
    """
    from relstab import claims

    table = claims.table(paper, figures=figures or None, scale=scale, rows=rows)
    return Display(text_html=claims.in_page(table), text_plain=table.to_string())


def cards(*ids):
    """The claims with these ids, of any paper, with their verdicts at the largest scale that has results."""
    from relstab import claims

    table = claims.evaluate(claims.by_id(*ids))
    return Display(text_html=claims.in_page(table), text_plain=table.to_string())


def findings(table):
    """The discrepancies of `relstab.claims.leave_out.summary`, each linked to its section of the page."""
    import html
    import re

    lines = []
    for row in table.to_dict("records"):
        cell = {name: re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(str(v))) for name, v in row.items()}
        verdicts = f"<br><em>claims: {cell['verdicts']}</em>" if row["verdicts"] else ""
        lines.append(
            f'<tr><td><a href="#{cell["anchor"]}">{cell["title"]}</a><br>{cell["place"]}</td><td>{cell["kind"]}</td>'
            f"<td>{cell['effect']}{verdicts}</td><td>{cell['choice']}</td></tr>"
        )
    heads = "".join(f"<th>{name}</th>" for name in ("what, where", "kind", "size of the effect", "this book"))
    return Display(
        text_html=f'<div class="findings"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>',
        text_plain=table.to_string(),
    )


def failures(rows):
    """The networks of the zoo that diverged or collapsed, or the sentence that none did."""
    from relstab.studies import zoo_tables

    table = zoo_tables.failures(rows)
    if len(table):
        return table
    count = int((rows["kind"] == "training").sum())
    text = f"None of the {count} networks at scale {rows.attrs['scale']} diverged or collapsed."
    return Display(text_markdown=text, text_plain=text)


def ledger(table):
    """The claims of a table of `relstab.claims.evaluate`, with a filter by paper, verdict and scale that needs no kernel."""
    from relstab import claims

    filters = []
    for name in ("paper", "verdict", "scale"):
        choices = "".join(f"<option>{choice}</option>" for choice in dict.fromkeys(table[name]))
        filters.append(
            f'<label>{name} <select data-filter="{name}"><option value="">all</option>{choices}</select></label>'
        )
    count = '<output class="claim-count" aria-live="polite"></output>'
    html = f'<form class="claim-filters">{"".join(filters)}{count}</form>{claims.in_page(table)}'
    _keep(html.encode(), {"claims.csv": table.to_csv(index=False).encode()})
    return Display(text_html=html, text_plain=table.to_string())


def state(table):
    """One sentence: how many claims of such a table came out how, and at which scales they were judged."""
    from relstab import claims, scales

    counts, judged = (
        table["verdict"].value_counts(),
        table.loc[table["verdict"] != claims.VERDICTS[3], "scale"],
    )
    parts = [f"**{counts.get(verdict, 0)}** {words}" for verdict, words in zip(
        claims.VERDICTS, ("hold", "fail", "show an error in a paper", "cannot be tested at the scales run so far"), strict=True
    )]  # fmt: skip
    at = [f"{(judged == scale).sum()} at scale {scale}" for scale in scales.SCALES if (judged == scale).any()]
    text = f"Of {len(table)} claims {', '.join(parts[:-1])} and {parts[-1]}. Judged: {', '.join(at)}."
    return Display(text_markdown=text, text_plain=text.replace("*", ""))


def tally(table):
    """How many claims of such a table hold, fail, cannot be tested, or find the paper in error, by paper and scale."""
    from relstab import claims

    return (
        table.groupby(["paper", "scale"])["verdict"]
        .value_counts()
        .unstack(fill_value=0)
        .reindex(columns=list(claims.VERDICTS), fill_value=0)
    )


def status():
    """Per study and scale: units that exist, units left, hours spent and left, machines, versions and commits."""
    import pandas as pd

    from relstab import scales, store, studies

    lines = []
    for study in studies.names():
        for scale in scales.SCALES:
            configs = studies.configs(study, scale)
            units = store.provenance(study, scale)
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


def benchmark(name):
    """Times per image of benchmarks/results/<name>.json, a line a case, and the machine they were measured on.

    Raises FileNotFoundError where there is no such file: results come with a source checkout.
    """
    import json

    import pandas as pd

    from relstab import provenance

    path = provenance.PACKAGE.parent / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"benchmark is {name!r}: there is no {path}; `relstab bench {name}` writes it"
        )
    record = json.loads(path.read_text())
    tables = {
        heading: pd.DataFrame(rows).set_index(["what", "fields"])[["ms per image", "times relstab"]]
        for heading, rows in record["tables"].items()
    }
    table = pd.concat(tables, axis=1, sort=False).map(lambda value: "–" if pd.isna(value) else f"{value:.3g}")
    table.index.names = [None, None]
    machine = f"Measured: {', '.join(f'{key} {value}' for key, value in record['machine'].items())}."
    return Display(
        text_html=f"{table.to_html()}<p>{machine}</p>", text_plain=f"{table.to_string()}\n{machine}"
    )


def source(rows):
    """One sentence: the scale of the rows shown, the machine, the versions and the commit they come from.

    rows: what `relstab.studies.shown` returns
    """
    from relstab import store

    study, scale = rows.attrs["study"], rows.attrs["scale"]
    units = store.provenance(study, scale)
    minutes = units["seconds"].sum() / 60
    missing = rows.attrs.get("missing", 0)
    text = (
        f"Scale {scale}: {len(units)} units of the study {study}, {minutes:.1f} minutes in all on "
        f"{', '.join(sorted(set(units['device'])))}; torch {', '.join(sorted(set(units['torch'])))}; "
        f"commit {', '.join(sorted({str(commit)[:10] for commit in units['commit']}))}."
        + (f" {missing} units of this scale are not computed yet." if missing else "")
    )
    return Display(text_markdown=text, text_plain=text)
