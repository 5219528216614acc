"""What is measured for the claims on networks that others trained (study `others`).

A point is a network on CIFAR-10 that was not refused (`tables.found`). Every repository has weight one, shared by its
networks, and repositories are resampled: forks and checkpoints of one training are not independent. "Natural" networks
were not trained to be robust; "fitted" means a training error below 0.1, "not fitted" one of at least 0.2. ε is the
error on the lossless test images; R, D, G are at the output, δ = 1, c = 3.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from relbook.measurement import NETWORKS, Measurement, bootstrap, correlation, geometric, mean, nothing, share, slope
from relbook.studies.others import tables

IDS = (
    "b-others-correlation",
    "o-others-fitted",
    "o-others-not-fitted",
    "o-others-difference",
    "o-others-scatter",
    "b-others-exponent",
    "b-others-prefactor",
    "b-others-bound",
    "b-others-resnets",
    "b-others-every-cut",
    "b-others-displacement",
    "a-others-not-at-init",
    "a-others-R-best",
    "b-others-D-weaker",
    "b-others-G-weaker",
    "b-others-init-one",
    "b-others-decades",
    "b-others-interpolation-small",
    "o-others-gap",
    "o-others-gap-better",
    "o-others-robust",
    "b-others-mnist",
    "a-others-D",
    "a-others-D-all",
    "a-others-G",
    "o-others-two-D",
    "o-others-two-G",
    "o-others-two-ratio",
    "a-others-gain",
    "o-others-gain",
    "b-others-training-lowers-R",
    "a-others-shuffling",
    "b-others-interpolation",
    "o-matched-below-one",
    "o-matched-factor",
    "o-matched-law",
    "o-matched-start",
)  # as the page shows them
LEAST_GAP = 0.01  # a smaller difference of errors is not told from none on 1,017 images
GROUPS = {"all": lambda table: table, "fitted": tables.fitted, "not fitted": tables.not_fitted}


def _over(
    statistic: Callable, table: pd.DataFrame, *columns: Iterable, seed: int, distinct: int = 4, needs: int = NETWORKS
) -> Measurement:
    """The statistic of the columns with repositories resampled."""
    if len(table) < 3:
        return nothing()
    return bootstrap(statistic, *columns, units=table["name"], clusters=table["repository"], seed=seed, needs=needs,
                     distinct=distinct)  # fmt: skip


def _share(table: pd.DataFrame, true: np.ndarray | pd.Series, *, seed: int) -> Measurement:
    """The share of the networks, one a repository, of which something is true."""
    if len(table) < 3:
        return nothing()
    return share(true, units=table["name"], clusters=table["repository"], seed=seed, needs=NETWORKS)


def _logs(table: pd.DataFrame, *names: str) -> list[np.ndarray]:
    return [np.log(table[name].to_numpy(float)) for name in names]


def _with_groups(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The networks of both groups, and which of them are fitted."""
    table = table[(table["train_error"] < tables.FITTED) | (table["train_error"] >= tables.NOT_FITTED)]
    return table, (table["train_error"] < tables.FITTED).to_numpy(float)


def _between(statistic: Callable) -> Callable:
    """A statistic of the fitted, less the same of the others; NaN where a group has no weight."""

    def difference(*columns, weights: np.ndarray) -> np.ndarray:
        *columns, inside = columns
        parts = []
        for group in (inside, 1 - inside):
            weight = weights * group
            empty = weight.sum(-1) <= 0
            value = statistic(*columns, weights=np.where(empty[..., None], 1.0, weight))
            parts.append(np.where(empty, np.nan, value))
        return parts[0] - parts[1]

    return difference


def error_correlation(
    rows: pd.DataFrame,
    *,
    group: str = "all",
    quantity: str = "R",
    statistic: str = "component_median",
    dataset: str = "cifar10-lossless",
    seed: int,
) -> Measurement:
    """Correlation of log ε with log R, D or G over the natural networks of a group."""
    table = GROUPS[group](tables.natural(rows, statistic=statistic, dataset=dataset))
    table = table[table["test_error"] > 0]
    return _over(correlation, table, *_logs(table, quantity, "test_error"), seed=seed)


def weakest_correlation(rows: pd.DataFrame, *, cuts: Sequence, group: str = "fitted", seed: int) -> Measurement:
    """The smallest correlation of log ε and log R over several cut-offs."""
    parts = [GROUPS[group](tables.natural(rows, cut=cut)).set_index("name") for cut in cuts]
    names = sorted(set.intersection(*(set(part.index) for part in parts)))
    logs = np.log([part.loc[names, "R"].to_numpy(float) for part in parts])
    table = parts[0].loc[names].reset_index()
    (error,) = _logs(table, "test_error")

    def weakest(R: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.min([correlation(one, error, weights) for one in R], axis=0)

    return _over(weakest, table, logs, error, seed=seed)


def displaced_correlation(
    rows: pd.DataFrame, *, displacement: float | int, group: str = "fitted", seed: int
) -> Measurement:
    """Correlation of log ε with log R at another δ, bilinear interpolation."""
    table, swept = GROUPS[group](tables.natural(rows)), tables.sweep(rows)
    swept = swept[np.isclose(swept["displacement"], displacement) & swept["interpolation"].eq("bilinear")]
    table = table.merge(swept[["name", "R"]].rename(columns={"R": "displaced"}), on="name")
    return _over(correlation, table, *_logs(table, "displaced", "test_error"), seed=seed)


def margin(
    rows: pd.DataFrame, *, over: str, statistic: str = "component_median", group: str = "fitted", seed: int
) -> Measurement:
    """Correlation of log ε with log R, minus the largest |correlation| with the quantities of `over`."""
    table = GROUPS[group](tables.natural(rows, statistic=statistic))

    def difference(error: np.ndarray, R: np.ndarray, *others, weights: np.ndarray) -> np.ndarray:
        rest = [np.abs(correlation(other, error, weights)) for other in others]
        return correlation(R, error, weights) - np.max(rest, axis=0)

    return _over(difference, table, *_logs(table, "test_error", "R", *over), seed=seed)


def output(
    rows: pd.DataFrame, *, stage: str = "trained", families: Sequence, group: str = "all", seed: int
) -> Measurement:
    """R of the networks of some families, geometric mean."""
    table = GROUPS[group](tables.natural(rows))
    table = table[table["family"].isin(families)]
    return _over(geometric, table, table["R" if stage == "trained" else "R_init"], seed=seed, distinct=1)


def difference_of_correlations(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Correlation of log ε with log R among the fitted, less that among the not fitted."""
    table, inside = _with_groups(tables.natural(rows))
    return _over(_between(correlation), table, *_logs(table, "R", "test_error"), inside, seed=seed)


def exponent(rows: pd.DataFrame, *, group: str = "fitted", seed: int) -> Measurement:
    """Slope of log ε against log R."""
    table = GROUPS[group](tables.natural(rows))
    return _over(slope, table, *_logs(table, "R", "test_error"), seed=seed)


def prefactor(rows: pd.DataFrame, *, group: str = "fitted", seed: int) -> Measurement:
    """Geometric mean of ε / √R."""
    table = GROUPS[group](tables.natural(rows))
    return _over(geometric, table, table["test_error"] / np.sqrt(table["R"]), seed=seed, distinct=1)


def _scatter(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Root mean squared residual of y on the line through the points."""
    square = mean(y * y, weights) - mean(y, weights) ** 2
    return np.sqrt(np.maximum(square * (1 - correlation(x, y, weights) ** 2), 1e-12))


def below_law(rows: pd.DataFrame, *, factor: float | int, seed: int) -> Measurement:
    """Share of the networks, robust ones too, that err less than 0.2 √R by more than a factor."""
    table = tables.networks(rows)
    better = table["test_error"] < 0.2 * np.sqrt(table["R"]) / factor
    return _share(table, better, seed=seed)


def ratio_of_scatters(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Scatter of log ε about its own line in log R, not fitted over fitted."""
    table, inside = _with_groups(tables.natural(rows))

    def ratio(x: np.ndarray, y: np.ndarray, inside: np.ndarray, weights: np.ndarray) -> np.ndarray:
        logs = _between(lambda *columns, weights: np.log(_scatter(*columns, weights)))(x, y, inside, weights=weights)
        return np.exp(-logs)

    return _over(ratio, table, *_logs(table, "R", "test_error"), inside, seed=seed)


def _gap(table: pd.DataFrame) -> pd.Series:
    return np.log(np.maximum(table["test_error"] - table["train_error"], LEAST_GAP))


def gap_correlation(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Correlation of log R with the log of test less training error, at least 0.01, over all natural networks."""
    table = tables.natural(rows)
    return _over(correlation, table, *_logs(table, "R"), _gap(table), seed=seed)


def gap_or_error(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """How much better log R goes with the log gap than with the log error, over all natural networks."""
    table = tables.natural(rows)

    def advantage(R: np.ndarray, gap: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return correlation(R, gap, weights) - correlation(R, error, weights)

    R, error = _logs(table, "R", "test_error")
    return _over(advantage, table, R, _gap(table), error, seed=seed)


def robust_factor(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """R of robust networks over that of natural ones of equal error (by their line of log R on log ε),
    geometric mean.
    """
    table = tables.networks(rows)
    if table.empty or not table["robust"].any():
        return nothing()
    robust = table["robust"].to_numpy(float)

    def factor(error: np.ndarray, R: np.ndarray, robust: np.ndarray, weights: np.ndarray) -> np.ndarray:
        natural, own = weights * (1 - robust), weights * robust
        empty = own.sum(-1) <= 0
        own = np.where(empty[..., None], 1.0, own)
        steep = slope(error, R, natural)
        above = R - mean(R, natural)[..., None] - steep[..., None] * (error - mean(error, natural)[..., None])
        return np.where(empty, np.nan, np.exp(mean(above, own)))

    repositories = table.groupby("robust")["repository"].nunique()
    enough = int(table["repository"].nunique() - repositories[True]) + NETWORKS  # so many robust ones are needed
    return _over(factor, table, *_logs(table, "test_error", "R"), robust, seed=seed, needs=enough)


def two_variables(rows: pd.DataFrame, *, coefficient: str, group: str = "fitted", seed: int) -> Measurement:
    """log ε fitted by a log D + b log G + const: a ("D"), b ("G") or a + b ("sum"); statistic "mean"."""
    table = GROUPS[group](tables.natural(rows, statistic="mean"))

    def fit(D: np.ndarray, G: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = tables.regression(error, [D, G], weights)
        return found.sum(-1) if coefficient == "sum" else found[..., ["D", "G"].index(coefficient)]

    return _over(fit, table, *_logs(table, "D", "G", "test_error"), seed=seed)


def residual_factor(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """Factor, at least one, between ε and 0.2 √R of the CIFAR ResNets, geometric mean."""
    table = tables.natural(rows)
    table = table[table["architecture"].str.startswith("CifarResNet")]
    factors = np.exp(np.abs(np.log(table["test_error"] / (0.2 * np.sqrt(table["R"])))))
    return _over(geometric, table, factors, seed=seed, distinct=1, needs=3)


def share_moved(rows: pd.DataFrame, *, quantity: str, rises: bool, group: str = "all", seed: int) -> Measurement:
    """Share of natural networks, one a repository, whose D, G or R rises (or falls) by training; statistic "mean"."""
    table = GROUPS[group](tables.natural(rows, statistic="mean"))
    risen = (table[quantity] > table[f"{quantity}_init"]).to_numpy()
    return _share(table, risen == rises, seed=seed)


def gain(rows: pd.DataFrame, *, quantity: str = "G", seed: int) -> Measurement:
    """Trained over initial G, geometric mean: of the fitted over that of the not fitted; statistic "mean"."""
    table, inside = _with_groups(tables.natural(rows, statistic="mean"))
    logs = np.log(table[quantity].to_numpy(float) / table[f"{quantity}_init"].to_numpy(float))
    difference = _between(lambda x, weights: mean(x, weights))
    return _over(
        lambda x, group, weights: np.exp(difference(x, group, weights=weights)), table, logs, inside, seed=seed
    )


def shuffling(rows: pd.DataFrame, *, batch_norm: str = "re-estimated", seed: int) -> Measurement:
    """Share of natural CIFAR-10 networks with convolutions whose R at the output is larger with shuffled channels."""
    table = tables.shuffled(rows)
    table = table[(table["batch_norm"] == batch_norm) & (table["dataset"] == "cifar10-lossless")]
    table = table[~table["robust"].astype(bool) & ~table["family"].isin(["fully connected", "transformer"])]
    return _share(table, table["ratio"] > 1, seed=seed)


def interpolation(rows: pd.DataFrame, *, displacement: float | int, seed: int) -> Measurement:
    """Factor, at least one, between R with bilinear and with Gaussian interpolation, geometric mean over networks."""
    table = tables.interpolations(rows, displacement)
    return _over(geometric, table, np.exp(np.abs(np.log(table["ratio"].to_numpy(float)))), seed=seed, distinct=1)


def matched_share(rows: pd.DataFrame, *, group: str = "fitted", seed: int) -> Measurement:
    """Share of natural networks, one a repository, with R below one against noise of the deformation's spectrum."""
    table = GROUPS[group](tables.matched(rows))
    return _share(table, table["R_matched"] < 1, seed=seed)


def matched_factor(rows: pd.DataFrame, *, group: str = "fitted", seed: int) -> Measurement:
    """R against noise of the deformation's spectrum over R against white noise, geometric mean."""
    table = GROUPS[group](tables.matched(rows))
    return _over(geometric, table, table["R_matched"] / table["R"], seed=seed, distinct=1)


def matched_start(rows: pd.DataFrame, *, seed: int) -> Measurement:
    """R at a fresh initialisation against noise of the deformation's spectrum, geometric mean; statistic "mean"."""
    table = tables.matched(rows, statistic="mean")
    return _over(geometric, table, table["R_matched_init"], seed=seed, distinct=1)


def matched_law(rows: pd.DataFrame, *, group: str = "fitted", seed: int) -> Measurement:
    """How much better log ε goes with log R against matched noise than against white noise:
    difference of correlations.
    """
    table = GROUPS[group](tables.matched(rows))

    def advantage(matched: np.ndarray, white: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return correlation(matched, error, weights) - correlation(white, error, weights)

    return _over(advantage, table, *_logs(table, "R_matched", "R", "test_error"), seed=seed)
