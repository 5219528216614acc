"""Claims against scale: which networks each number is of, where the numbers go, and the panels that show it."""

import math

import pandas as pd
import pytest

from relbook import ledger, papers
from relbook.drawing import against_scale as drawing
from relbook.ledger import Accepted
from relbook.measurement import Measurement, exact, nothing
from relbook.studies.zoo import against_scale, tables
from relbook.studies.zoo.against_scale import PLACES, Point, moves


def measured(low, estimate, high, n=6):
    return Measurement(estimate, low, high, tuple(f"net {i}" for i in range(n)), 6)


@pytest.mark.parametrize(
    ("first", "last", "where"),
    [
        (measured(0.1, 0.2, 0.3), measured(0.5, 0.6, 0.7), "towards the paper"),
        (measured(0.5, 0.6, 0.7), measured(0.1, 0.2, 0.3), "away from the paper"),
        (measured(0.1, 0.2, 0.3), measured(0.1, 0.6, 0.7), "flat"),
        (measured(0.1, 0.9, 1.0), measured(0.1, 0.85, 1.0), "within what is accepted"),
        (measured(1.1, 1.5, 1.6), measured(1.0, 1.05, 1.1), "towards the paper"),
    ],
)
def test_where_the_numbers_go(first, last, where):
    assert moves([Point("a", first), Point("b", exact(99.0)), Point("c", last)], Accepted(0.8, 1.0)) == where


def zoo():
    """LeNet in two lengths and VGG in two widths; a noisy control, a foreign network and one of a single size."""
    nets = [
        ("lenet", 1.0, 10),
        ("lenet", 1.0, 30),
        ("vgg11_bn", 0.125, 10),
        ("vgg11_bn", 0.5, 10),
        ("vgg11_bn", 0.5, 18),
        ("resnet18", 0.25, 15),
    ]
    base = {"dataset": "cifar10-jpeg", "train_size": 0, "noise": 0.0, "augment": True, "recipe": "one_cycle", "seed": 0}
    rows = [base | {"architecture": a, "width": w, "epochs": e} for a, w, e in nets]
    rows += [rows[0] | more for more in ({"noise": 10.0, "epochs": 1}, {"augment": False, "epochs": 99},
             {"dataset": "mnist", "augment": False, "epochs": 2}, {"train_size": 512, "epochs": 3})]  # fmt: skip
    rows.append(base | {"architecture": "lenet", "width": 1.0, "epochs": 0, "recipe": "published", "augment": False,
                        "dataset": "cifar10-lossless"})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_ends_are_sizes_of_the_same_architectures():
    short, long = tables.shortest_and_longest(zoo())
    kept = ["architecture", "width", "epochs"]
    assert short[kept].to_numpy().tolist() == [["lenet", 1.0, 10], ["vgg11_bn", 0.125, 10]]
    assert long[kept].to_numpy().tolist() == [["lenet", 1.0, 30], ["vgg11_bn", 0.5, 18]]


class Claimed:
    id = "a-toy"

    def measured(self, rows):
        return measured(0, len(rows["zoo"]), 99, n=len(rows["zoo"]) * 2)


def test_points_come_in_order_and_few_networks_are_no_point():
    repeated = {
        ("a-toy", "others: fitted"): measured(0, 1, 2),
        ("a-toy", "others: all"): nothing(),
        ("another", "others: all"): measured(0, 1, 2),
    }
    found = against_scale.points(Claimed(), zoo(), repeated)
    assert [point.on for point in found] == ["shortest here", "longest here", "all here", "others: fitted"]
    assert [point.found.estimate for point in found] == [2, 2, 11, 1]
    alone = against_scale.points(Claimed(), zoo().head(2), {})
    assert [point.on for point in alone] == ["all here"]


def test_a_claim_repeats_one_that_is_there(tmp_path):
    live = {claim.id: claim for claim in papers.ledger()}
    repeats = [claim for claim in live.values() if claim.repeats]
    assert len({(claim.repeats["claim"], claim.repeats["on"]) for claim in repeats}) == len(repeats) >= 10
    assert {claim.repeats["on"] for claim in repeats} <= set(PLACES)
    folder = tmp_path / "zoo"
    folder.mkdir()
    text = (ledger.FOLDERS / "two_pixels" / "claims.toml").read_text()
    first = 'basis = "after rows"\n'
    (folder / "claims.toml").write_text(text.replace(first, first + 'repeats = { claim = "b-0", on = "x" }\n', 1))
    with pytest.raises(ValueError, match=r"d-two-pixels-output repeats .* must name a claim of the ledger"):
        ledger.claims(tmp_path)


def line(id_, on, estimate, where, **more):
    return {
        "id": id_,
        "statement": f"The claim {id_} is that a panel says what it is about",
        "on": on,
        "estimate": estimate,
        "low": estimate - 1,
        "high": estimate + 1,
        "n": 6,
        "moves": where,
        "accepted_low": 0.0,
        "accepted_high": math.inf,
    } | more


def test_a_panel_a_claim():
    table = pd.DataFrame(
        [
            line("a", PLACES[0], 1.0, "flat"),
            line("a", PLACES[1], 2.0, "flat"),
            line("b", PLACES[0], 3.0, "towards the paper"),
            line("b", PLACES[5], 4.0, "towards the paper"),
        ]
    )
    fig = drawing.panels(table, PLACES)
    drawn = [ax for ax in fig.axes if ax.axison]
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in drawn]
    assert [title[:15] for title in titles] == ["= The claim a i", "→ The claim b i"]
    assert all(title.endswith("about") for title in titles)
    points = [[tuple(p.get_xydata()[0]) for p in ax.lines if p.get_marker() == "o"] for ax in drawn]
    assert points == [[(1.0, 0), (2.0, 1)], [(3.0, 0), (4.0, 2)]]  # three kinds of networks in all
    assert [p.get_mfc() for p in drawn[1].lines if p.get_marker() == "o"][1] == "white"
    assert drawing.panels(table.iloc[:0], PLACES).axes
    told = against_scale.summary(table.assign(statement="It is.", said="1"))
    assert told[["claim", "first", "last"]].to_numpy().tolist() == [
        ["a", f"1 ({PLACES[0]})", f"2 ({PLACES[1]})"],
        ["b", f"3 ({PLACES[0]})", f"4 ({PLACES[5]})"],
    ]
    assert against_scale.told(table) == "Of 2 claims 1 stays flat, and 1 moves towards the paper."
    assert against_scale.told(table.iloc[:0]) == "No claim has a number at both ends."
