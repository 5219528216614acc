"""All networks in one table: architectures as they are built, a line a network, settings read from the code."""

import pandas as pd
import pytest

from relbook import registry
from relbook.studies.others import tables as other_tables
from relbook.studies.zoo import catalogue, tables
from relstab import models
from relstab.train import recipes


@pytest.mark.parametrize(("name", "layers", "batch", "skips"), [
    ("fc_l4", 4, "no", "no"), ("lenet", 5, "no", "no"), ("vgg11_bn", 9, "yes", "no"), ("resnet50", 50, "yes", "yes"),
    ("cifar_resnet20", 20, "yes", "yes"),
])  # fmt: skip
def test_facts_are_those_of_the_network_that_is_built(name, layers, batch, skips):
    found = catalogue.facts(name)
    assert (found["layers"], found["batch norm"], found["skips"]) == (layers, batch, skips)
    if name in ("lenet", "cifar_resnet20"):
        assert found["parameters"] == sum(p.numel() for p in models.build(name, in_channels=3).parameters())


def test_a_line_a_network_with_its_numbers():
    zoo = registry.shown("zoo", "laptop")
    if zoo.empty:
        pytest.skip("no published networks here")
    public = other_tables.natural(registry.shown("others", "laptop"))
    table = catalogue.every(zoo, registry.shown("imagenet", "laptop"), public)
    line = table[(table["network"] == "ResNet20")].iloc[0]
    row = tables.networks(zoo).query("architecture == 'cifar_resnet20'").iloc[0]
    assert (line["error"], line["R"], line["parameters"]) == pytest.approx((row["error"], row["R"], 269722))
    assert line["trained by"] == catalogue.TRAINER
    assert not (table["network"].str.startswith("CifarResNet") & (table["trained by"] == line["trained by"])).any()
    assert catalogue.written(table).notna().all().all()
    own = table[table["trained by"] == "this book"]
    assert len(own) and not own.duplicated(["data", "network", "epochs"]).any()


def test_without_rows_of_others_the_zoo_is_left():
    zoo = registry.shown("zoo", "laptop")
    nothing = pd.DataFrame()
    assert len(catalogue.every(zoo, nothing, nothing)) == len(catalogue._zoo(zoo))


def test_settings_follow_the_code(monkeypatch):
    table = catalogue.settings().set_index("")
    assert table.loc["batch", "this book"] == str(recipes.one_cycle("vgg11_bn").batch_size)
    other = recipes.Recipe(epochs=3, lr=0.7, batch_size=999)
    monkeypatch.setattr(recipes, "one_cycle", lambda name: other)
    changed = catalogue.settings().set_index("")
    assert changed.loc["batch", "this book"] == "999"
    assert changed.loc["step size", "this book"].startswith("0.7 ")
