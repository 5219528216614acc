"""What the front page says in three sentences, computed from the sweep and from the zoo."""

import pandas as pd

from relbook.studies.select import Kind, select
from relbook.studies.words import listed
from relbook.studies.zoo import tables as zoo_tables

NAMES = {"fc_l2": "fully connected network", "lenet": "LeNet", "cifar_resnet20": "ResNet20"}


def at(rows: pd.DataFrame, displacement: float | int = 1.0, cut: int = 3) -> pd.DataFrame:
    """D, G, R and the test error of each network at one (δ, c): index architecture, columns (stage, quantity), error.

    >>> import pandas as pd
    >>> row = {"kind": "sensitivity", "architecture": "lenet", "stage": "init", "displacement": 1.0, "cut": 3}
    >>> table = at(pd.DataFrame([{**row, "D": 0.1, "G": 0.2, "R": 0.5}]))
    >>> table.loc["lenet", ("init", "R")]
    np.float64(0.5)
    """
    chosen = select(rows, kind=Kind.SENSITIVITY, displacement=displacement, cut=cut)
    table = chosen.pivot_table(index="architecture", columns="stage", values=["D", "G", "R"])
    table.columns = table.columns.swaplevel()
    training = select(rows, kind=Kind.TRAINING)
    if "test_error" in training:
        table["error"] = training.set_index("architecture")["test_error"]
    return table.reindex([name for name in NAMES if name in table.index])


def networks_in_words(rows: pd.DataFrame) -> str:
    """Which networks the front page shows, on which pictures: sentences in Markdown."""
    training = rows[rows["kind"] == "training"].set_index("architecture")
    parts = []
    for name in [name for name in NAMES if name in training.index]:
        line = training.loc[name]
        if line["recipe"] == "published":
            made = "trained by others on original images"
        else:
            made = (
                f"trained here for {int(line['epochs'])} epochs{' on JPEG copies' if 'jpeg' in line['dataset'] else ''}"
            )
        parts.append(f"a {NAMES[name]} ({made}, test error {line['test_error']:.2f})")
    return (
        f"Networks on CIFAR-10: {listed(parts)}. Each number is an average over "
        f"{int(rows['probes'].max()):,} original test pictures that no network was "
        "trained on, one bend and one noise each. (The chapters on Petrini 2021 take medians of each output instead, "
        "as its authors do; of these networks, medians and their ratios $R$ are smaller.)"
    )


def in_words(rows: pd.DataFrame, zoo: pd.DataFrame) -> str:
    """Three sentences of takeaway in Markdown; rows: of the study bend_or_noise, zoo: of the study zoo."""
    table = at(rows)
    last = table.iloc[-1]
    before = table[("init", "R")]
    after = ", ".join(f"{R:.2g} for the {NAMES[name]}" for name, R in table[("trained", "R")].items())
    D, G = (last[("trained", name)] / last[("init", name)] for name in "DG")
    more = "noise matters more" if G > 1 and G > 1 / D else "bends matter less"
    alike = max(before.max(), 1 / before.min())
    networks = zoo_tables.compared(zoo)
    one = networks.sort_values(["width", "epochs"]).drop_duplicates("architecture", keep="last")
    law = zoo_tables.law(one["error"], one["R"])
    easy = zoo_tables.compared(zoo, ["mnist", "fashion-mnist"])
    other = zoo_tables.law(easy["error"], easy["R"])
    return (
        f"1. **Before training, bends and noise count alike within a factor of {alike:.1f}; after it they differ, in "
        "either direction.** At δ = 1 pixel and "
        f"c = 3 the relative sensitivity $R = D/G$ is {before.min():.2g} to {before.max():.2g} before "
        f"training, and after it {after}.\n"
        f"2. "
        f"**In the best of them {more} than before.** In the "
        f"{NAMES[table.index[-1]]} training multiplies $D$ by {D:.2g} and $G$ by {G:.2g}: the network gets "
        "rougher in nearly "
        f"all directions and stays comparatively smooth along bends, which it notices "
        f"{1 / last[('trained', 'R')]:.0f} times less than noise.\n"
        f"3. **On CIFAR-10, the smaller $R$, the smaller the test error**: over {law.count} architectures the "
        "logarithms of the "
        f"two have the correlation {law.correlation:.2f} (95 % interval {law.low:.2f} to {law.high:.2f}); over the "
        f"{other.count} networks on MNIST and Fashion-MNIST it is {other.correlation:.2f} ({other.low:.2f} to "
        f"{other.high:.2f}), "
        f"so $R$ is no measure of quality across data sets."
    )
