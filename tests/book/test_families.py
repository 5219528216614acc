"""A family of networks is registered once; what the book adds to it (a look, a name, a cost) may not be forgotten."""

import pytest

from relbook.drawing import nets, style
from relbook.studies.zoo import study as zoo
from relstab import models
from relstab.train import recipes

DRAWN = [name for name in models.names() if models.family(name) != "conv8"]  # which Ruderman's figures draw


@pytest.mark.parametrize("name", DRAWN)
def test_every_network_has_a_look_a_name_and_a_cost(name):
    assert nets.look(name)[0] != style.FAMILIES["other"][0]
    assert nets.label(name) != name
    assert zoo.step_ms(zoo.Network(scale="laptop", dataset="mnist", architecture=name, epochs=1)) > 0


def test_no_network_is_trained_by_a_guess():
    with pytest.raises(ValueError, match="unknown model 'vgg12_bn'; did you mean vgg19_bn"):
        recipes.one_cycle("vgg12_bn")
    with pytest.raises(ValueError, match="unknown model 'resnet'"):
        models.has_dropout("resnet")


@pytest.mark.parametrize("family", models.FAMILIES)
def test_what_is_registered_is_true(family):
    record = models.FAMILIES[family]
    name = next(iter(record.build))
    modules = list(models.build(name, width=0.25).modules())
    kinds = {type(module).__name__ for module in modules}
    assert any("BatchNorm" in kind for kind in kinds) is record.batch_norm
    random = any("Dropout" in kind or "StochasticDepth" in kind for kind in kinds)
    assert random is record.dropout
