"""How often the 95 % interval of R holds the R of the whole set: fresh images and fresh draws each time.

    python benchmarks/coverage.py [repetitions]

Writes results/coverage.json and results/coverage.md. The set is the test pictures of fashion-mini, which come with
the package; each repetition draws P of them with replacement, and new τ and η. The truth is R of all pictures over
many draws. The network is LeNet, trained for a few epochs, at its output and at its first activation.
"""

import math
import sys

import _harness
import torch

from relstab import data, models, train
from relstab.probes.moments import STATISTICS
from relstab.probes.sensitivity import sensitivity
from relstab.train import recipes

IMAGES = 200
TRUTH_DRAWS = 24


def pictures():
    mini = data.load("fashion-mini")
    return mini, mini.normalise(mini.test.images)


def lenet():
    mini, _ = pictures()
    model = models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(0))
    train.fit(model, mini.train, recipes.one_cycle("lenet", epochs=4), normalise=mini.normalise, seed=0)
    return model


CASES = [  # network, layers, statistic, draws
    *((lenet, "output", statistic, 1) for statistic in STATISTICS),
    (lenet, ["relu1"], "mean", 1),
]


def coverage(case, repetitions):
    """One row: the share of intervals that hold the truth, and their half width in percent of R."""
    _harness.single_thread()
    build, layers, statistic, draws = case
    model, (_, images) = build(), pictures()
    options = {"layers": layers, "statistic": statistic, "batch_size": 256}
    truth = float(sensitivity(model, images, draws=TRUTH_DRAWS, seed=2**40, **options)["R"].iloc[0])
    inside, width, values = 0, 0.0, []
    for number in range(repetitions):
        some = torch.randint(len(images), (IMAGES,), generator=torch.Generator().manual_seed(number))
        row = sensitivity(model, images[some], draws=draws, seed=number, **options).iloc[0]
        inside += bool(row.R_low <= truth <= row.R_high)
        width += math.log(row.R_high / row.R_low) / 2
        values.append(math.log(row.R / truth))
    share, values = inside / repetitions, torch.tensor(values)
    return {
        "network": build.__name__, "layer": layers if isinstance(layers, str) else layers[0], "statistic": statistic,
        "draws": draws, "R of the set": truth, "coverage, %": 100 * share,
        "standard error, %": 100 * math.sqrt(share * (1 - share) / repetitions),
        "half width, %": 100 * width / repetitions, "1.96 deviations of ln R, %": 196 * values.std().item(),
        "bias of ln R, %": 100 * values.mean().item(),
    }  # fmt: skip


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rows = []
    for case in CASES:
        rows.append(coverage(case, repetitions))
        print(rows[-1], flush=True)
    notes = (
        f"{repetitions} repetitions of {IMAGES} pictures of fashion-mini, drawn with replacement, with new τ "
        "and η each "
        f"time, δ = 1, c = 3; the truth is R of all pictures over {TRUTH_DRAWS} draws. Aimed at: 90 to 98 % "
        "for the mean."
    )
    _harness.write(
        "coverage", "Coverage of the 95 % interval of R", notes, _harness.machine("torch"), {"Coverage": rows}
    )


if __name__ == "__main__":
    main()
