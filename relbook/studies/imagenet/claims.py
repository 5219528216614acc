"""What is measured for the claims on networks that others trained on ImageNet (B Figs. 3 centre and 14).

A unit is a network. At initialisation fewer pictures are probed than in the trained network; where the two are
compared, the trained one is taken on its groups of as many pictures.
"""

import numpy as np
import pandas as pd

from relbook.measurement import Measurement, bootstrap, geometric, mean, nothing
from relbook.studies.zoo import tables


def output(rows: pd.DataFrame, *, stage: str, cut: float | int = 3, seed: int) -> Measurement:
    """R at the output, B's statistic, geometric mean over networks."""
    table = tables.outputs(rows, stage=stage, cut=cut)
    return bootstrap(geometric, table["R"], units=table["architecture"], seed=seed)


def lowered(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """R trained over R at initialisation on as many pictures each (groups of them), means over pictures, c = 3."""
    start = tables.outputs(rows, stage="init", statistic="mean").set_index("architecture")["R"]
    pictures = rows.groupby("architecture")["init_probes"].first()
    groups = rows[rows["kind"].eq("group")]
    groups = groups[groups["images_in_group"].eq(groups["architecture"].map(pictures))]
    trained = np.exp(np.log(groups["R"]).groupby(groups["architecture"]).mean())
    ratio = (trained / start).dropna()
    return bootstrap(geometric, ratio, units=[f"{net}, {pictures[net]:g} pictures" for net in ratio.index], seed=seed)


def least_lowered(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """R trained over R at initialisation at the cut-off where training lowers it least; B's statistic."""
    cuts = sorted(int(cut) for cut in rows["cut"].dropna().unique())
    if not cuts:
        return nothing()
    trained, start = (
        pd.DataFrame({c: tables.outputs(rows, stage=s, cut=c).set_index("architecture")["R"] for c in cuts})
        for s in ("trained", "init")
    )
    logs = (np.log(trained) - np.log(start)).dropna()
    return bootstrap(lambda x: np.exp(mean(x).max(0)), logs.to_numpy().T, units=logs.index, seed=seed)


def rank_with_depth(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Spearman's correlation of R_k of the trained network with depth, k ≥ 1; mean over networks."""
    table = tables.profiles(rows)
    table = table[(table["stage"] == "trained") & (table["depth"] > 0)]
    ranks = {net: part["depth"].rank().corr(part["R"].rank()) for net, part in table.groupby("architecture")}
    return bootstrap(mean, list(ranks.values()), units=ranks, seed=seed)


def flat_layers(rows: pd.DataFrame, *, factor: float | int, seed: int) -> Measurement:
    """Share of the layers, k ≥ 1, whose R_k at initialisation is within a factor of 1; mean over networks."""
    table = tables.profiles(rows)
    table = table[(table["stage"] == "init") & (table["depth"] > 0)]
    shares = (np.log(table["R"]).abs() <= np.log(factor)).groupby(table["architecture"]).mean()
    return bootstrap(mean, shares, units=shares.index, seed=seed)
