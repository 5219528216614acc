"""The networks with which `relstab probe` compares, taken from the published rows of this study.

`relstab study zoo --publish` writes the file that comes with the library; a test holds it to the published rows.
"""

import pandas as pd

from relbook.studies.zoo import tables
from relstab.probes import picture
from relstab.store import Rows, atomic

DIGITS = 6
FEWEST = 10  # networks at a setting that make a curve


def networks(rows: Rows, displacement: float | int = 1.0, cut: float | int = 3, statistic: str = "mean") -> Rows:
    """The networks on CIFAR-10 (B Fig. 5) among rows of this study, one row per network.

    It says of itself what the rows say. Empty for settings that the networks were not probed at.
    """
    found = tables.compared(rows, displacement=displacement, cut=cut, statistic=statistic)
    found = found[found["dataset"].str.startswith("cifar10")].reset_index(drop=True)
    return Rows(found).__finalize__(rows)


def text(rows: Rows) -> str:
    """What `relstab.probes.picture.NETWORKS` should hold: CSV, one row per network and setting."""
    probed = tables.measured(rows)[picture.SETTINGS].drop_duplicates().sort_values(picture.SETTINGS)
    found = []
    for setting in probed.itertuples(index=False):
        table = networks(rows, *setting)
        if len(table) >= FEWEST:
            table = table.assign(**setting._asdict(), scale=rows.scale)
            found.append(table[[*picture.SETTINGS, "scale", *table.columns.drop([*picture.SETTINGS, "scale"])]])
    return pd.concat(found).to_csv(index=False, float_format=f"%.{DIGITS}g")


def write(rows: Rows) -> None:
    """Write the file from rows of this study."""
    atomic.write(picture.NETWORKS, text(rows).encode())
