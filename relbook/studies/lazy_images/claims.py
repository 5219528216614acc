"""What is measured for the claims on lazy and feature training on images (slides D).

A unit is a pair of networks, of one size and seed, that both reached the stop; seeds are resampled within a size.
"""

import numpy as np

from relbook.measurement import bootstrap, geometric
from relbook.studies.lazy_images import study as lazy_images


def _over_sizes(logs, statistic, seed):
    frame = logs.reset_index()
    units = [f"{line.network}, P = {line.train:g}, seed {line.seed:g}" for line in frame.itertuples()]
    labels = frame["network"] + " " + frame["train"].astype(str)
    codes = labels.factorize()[0].astype(float)
    return bootstrap(statistic, np.exp(frame["log_ratio"]), codes, units=units, seed=seed, strata=labels)


def _smallest(ratios, codes):
    """Smallest over networks and sizes of geometric means over seeds."""
    logs = np.log(ratios)
    return np.exp(np.min([np.where(codes == c, logs, 0).sum(-1) / (codes == c).sum(-1) for c in np.unique(codes)], 0))


def ratio(rows, *, quantity="R", network=None, over="lazy", every_size=False, seed):
    """Feature training over lazy training (or over the start, `over="start"`): geometric mean,
    or the smallest by size.
    """
    over = {"lazy": lazy_images.LAZY, "start": lazy_images.START}[over]
    logs = lazy_images.ratios(rows, quantity, lazy_images.FEATURE, over)
    if network is not None:
        logs = logs[logs.index.get_level_values("network") == network]
    return _over_sizes(logs, _smallest if every_size else lambda ratios, codes: geometric(ratios), seed)
