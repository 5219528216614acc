"""Tables from the rows of the study `augmentation`: what the figures and the page read.

Networks that diverged or collapsed are left out; means over seeds are geometric, as in B.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
import torch

from relstab import diffeo

KIND = ["dataset", "architecture", "width"]
TREATMENT = ["augment", "displacement"]
MEASURES = ["test_error", "D", "G", "R", "R_fine"]


def finished(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks whose training neither diverged nor collapsed."""
    return rows[rows["status"].eq("ok")] if len(rows) else rows


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for a kind of network and a treatment: means over seeds of `MEASURES`; `seeds` counts them."""
    rows = finished(rows)
    if rows.empty:
        return pd.DataFrame(columns=[*KIND, *TREATMENT, *MEASURES, "seeds"])
    groups = rows.groupby([*KIND, *TREATMENT], sort=False)
    table = groups[MEASURES].agg(lambda values: float(np.exp(np.log(values).mean())))
    return table.assign(seeds=groups.size()).reset_index()


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """What deformations change: every measure with them over without, all else equal, mean over the pairs.

    One line for a kind of network, with or without crops and flips, and δ; `seeds` counts the pairs.
    """
    rows = finished(rows)
    if rows.empty:
        return pd.DataFrame(columns=[*KIND, *TREATMENT, *MEASURES, "seeds"])
    twin = [*KIND, "augment", "seed"]
    plain = rows[rows["displacement"].eq(0)]
    pairs = rows[rows["displacement"].gt(0)].merge(plain, on=twin, suffixes=("", "_plain"))
    ratios = pairs[[*KIND, *TREATMENT, "seed"]].copy()
    for name in MEASURES:
        ratios[name] = pairs[name] / pairs[f"{name}_plain"]
    return means(ratios.assign(status="ok"))


def fallen(effects: pd.DataFrame) -> pd.DataFrame:
    """In how many lines of `effects` each measure fell, and its geometric mean factor and range; a line a measure."""
    lines = {
        name: {
            "falls in": f"{(effects[name] < 1).sum()} of {len(effects)}",
            "mean factor": np.exp(np.log(effects[name]).mean()),
            "smallest": effects[name].min(),
            "largest": effects[name].max(),
        }
        for name in MEASURES
    }
    return pd.DataFrame(lines).T


def in_words(effects: pd.DataFrame) -> str:
    """What `fallen` says about R and the error, and the error's factor if B's law ε ∝ √R held under this change.

    >>> table = pd.DataFrame({name: [0.5, 0.5] for name in MEASURES} | {"test_error": [1.0, 1.21], "R": [0.36, 1.0]})
    >>> in_words(table).partition(".")[0]
    'R falls in 1 of 2 lines, by a factor of 0'
    >>> in_words(table).split("changes")[1]
    ' by a factor of 1.10 and falls in 0 of 2 lines.'
    """
    if effects.empty:
        return "No pairs of networks have been trained."
    table = fallen(effects)
    factors, counts = table["mean factor"].astype(float), table["falls in"]
    return (
        f"R falls in {counts['R']} lines, by a factor of {factors['R']:.2f} in the mean. If the error followed it "
        f"as it does across architectures, ε ∝ √R, it would change by a factor of "
        f"{factors['R'] ** 0.5:.2f}. It changes by a factor of {factors['test_error']:.2f} and falls in "
        f"{counts['test_error']} lines."
    )


def folding(
    displacements: Collection,
    cuts: Collection,
    size: int,
    *,
    draws: int = 500,
    generator: torch.Generator | None = None,
) -> pd.DataFrame:
    """The share of random fields that fold, by δ in pixels (columns) and c (rows), on size x size pixels."""
    table = pd.DataFrame(index=pd.Index(cuts, name="c"), columns=pd.Index(displacements, name="δ"), dtype=float)
    for cut in cuts:
        drawn = diffeo.sample_coefficients(draws, cut, generator=generator)
        for delta in displacements:
            field = diffeo.displacement_field(drawn, diffeo.temperature(delta, cut, size), size)
            table.loc[cut, delta] = 1 - diffeo.is_bijective(field).double().mean().item()
    return table


WORDS = {"test_error": "test error", "R_fine": "fine R", "D_fine": "fine D", "G_fine": "fine G"}
