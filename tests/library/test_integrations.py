"""The metric equals `relstab.sensitivity`'s definition in one process and in two;
the callback logs what it measures.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import relstab
from relstab import models

RelativeStability = pytest.importorskip("relstab.integrations.torchmetrics").RelativeStability
ROOT = Path(__file__).parents[2]


def network(seed=0):
    return models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(seed))


def pictures(count=24, seed=1):
    smooth = torch.rand(count, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(smooth, (28, 28), mode="bilinear")


def values(metric):
    return {name: float(value) for name, value in metric.compute().items()}


def by_hand(model, images, metric):
    """D, G and R from features of all images at once."""
    x, moved, noisy = metric._perturbed(images)
    with torch.no_grad():
        f, g, h = (model.eval()(part).double() for part in (x, moved, noisy))
    pairs = (f[:, None] - f[None]).square().sum(-1).mean()
    D, G = ((other - f).square().sum(1).mean() / pairs for other in (g, h))
    return {"D": float(D), "G": float(G), "R": float(D / G)}


def test_the_metric_is_the_definition():
    model, images = network(), pictures()
    metric = RelativeStability(model)
    for part in images.split(7):
        metric.update(part)
    assert values(metric) == pytest.approx(by_hand(model, images, metric), rel=1e-5)
    x, moved, noisy = metric._perturbed(images)
    assert torch.allclose((moved - x).flatten(1).norm(dim=1), (noisy - x).flatten(1).norm(dim=1), rtol=1e-4)


def test_the_metric_agrees_with_sensitivity_within_its_error_bars():
    model, images = network(), pictures(200)
    metric = RelativeStability(model)
    metric.update(images)
    row = relstab.sensitivity(model, images, layers="output", seed=0, draws=4).iloc[0]
    found = values(metric)
    assert found["D"] == pytest.approx(row["D"], rel=0.2) and found["G"] == pytest.approx(row["G"], rel=0.2)
    spread = np.log(row["R_high"] / row["R"])
    assert abs(np.log(found["R"] / row["R"])) < 3 * spread * 2.5  # one draw beside four


def test_an_image_meets_the_same_deformation_in_any_batch_and_epoch():
    model, images = network(), pictures()
    metric, order = RelativeStability(model), torch.randperm(len(images))
    metric.update(images)
    first = values(metric)
    metric.reset()
    for part in images[order].split(5):
        metric.update(part)
    assert values(metric) == pytest.approx(first, rel=1e-5)
    other = RelativeStability(model, seed=1)
    other.update(images)
    assert values(other)["R"] != pytest.approx(first["R"], rel=1e-3)


def test_several_layers_a_layer_of_its_own_and_a_half_precision_network():
    model, images = network(), pictures()
    points = list(model.probe_points)
    metric = RelativeStability(model, layers=[points[0], "output"])
    metric.update(images)
    alone = RelativeStability(model, layers=points[0])
    alone.update(images)
    assert metric.compute()[f"{points[0]}/R"] == alone.compute()["R"]
    half = RelativeStability(network().to(torch.bfloat16))
    with pytest.warns(UserWarning, match="of higher precision"):
        half.update(images)
    assert values(half)["R"] == pytest.approx(float(metric.compute()["output/R"]), rel=0.1)


def test_the_model_is_left_as_it_was_and_is_no_part_of_the_metric():
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    metric = RelativeStability(model)
    metric.update(pictures())
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not list(metric.parameters()) and not list(metric.children()) and not metric.state_dict()


def test_metric_of_nothing_is_nan_and_forward_gives_the_batch():
    metric = RelativeStability(network())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchmetrics: compute before update
        assert all(np.isnan(value) for value in values(metric).values())
    images = pictures()
    batch = metric(images[:12])
    alone = RelativeStability(network())
    alone.update(images[:12])
    assert {name: float(value) for name, value in batch.items()} == pytest.approx(values(alone))
    metric(images[12:])
    assert values(metric) == pytest.approx(by_hand(network(), images, metric), rel=1e-5)
    constant = RelativeStability(network())
    constant.update(torch.ones(4, 1, 28, 28))
    assert all(np.isnan(value) for value in values(constant).values())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": []}, "layers is .*; it must name at least one layer"),
        ({"layers": ["output", "output"]}, "each once"),
        ({"layers": "nothing"}, "the model has no module 'nothing'"),
        ({"displacement": 0.0}, "displacement"),
        ({"cut": 1}, "cut"),
    ],
)
def test_bad_options_of_the_metric(options, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence):
        RelativeStability(network(), **options).update(pictures(4))


def test_bad_images_of_the_metric(unchecked):
    metric = RelativeStability(network())
    with pytest.raises(ValueError, match="images must be a float tensor"):
        metric.update(torch.zeros(4, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(ValueError, match="images must be finite"):
        metric.update(torch.full((4, 1, 28, 28), torch.nan))


WORKER = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, "tests/library")
from test_integrations import RelativeStability, network, pictures, values
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
metric = RelativeStability(network())
for part in pictures()[:9].split(4) if dist.get_rank() == 0 else pictures()[9:].split(6):
    metric.update(part)
print(values(metric))
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_give_the_numbers_of_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "meet"), str(rank)], cwd=ROOT,
                                env=environment, stdout=subprocess.PIPE, text=True) for rank in range(2)]  # fmt: skip
    try:
        said = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0]
    metric = RelativeStability(network())
    metric.update(pictures())
    both = [eval(line.splitlines()[-1]) for line in said]
    assert both[0] == both[1] == pytest.approx(values(metric), rel=1e-6)


# Lightning -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about workers and loggers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_callback_logs_what_it_measures_and_disturbs_nothing(tmp_path):
    stability = pytest.importorskip("relstab.integrations.lightning")
    lightning = stability.extra("lightning", "this test")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()
            self.seen = []

        def forward(self, images):
            return self.net(images)

        def training_step(self, batch, _):
            return self(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.05)

    def fitted(callbacks):
        module = Module()
        trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                                    enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks,
                                    default_root_dir=tmp_path)  # fmt: skip
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pictures()), batch_size=8)
        trainer.fit(module, data)
        return module, trainer.callback_metrics

    callback = stability.StabilityCallback(pictures(12, seed=5), every_n_epochs=3, draws=2)
    module, logged = fitted([callback])
    table = relstab.sensitivity(module.net, callback.images, layers="output", seed=0, draws=2)
    for name in ("D", "G", "R"):
        assert float(logged[f"relstab/{name}"]) == pytest.approx(table[name].iloc[0], rel=1e-5)
    plain, _ = fitted([])
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), plain.parameters(), strict=True))
    assert fitted([stability.StabilityCallback(pictures(12), every_n_epochs=4)])[1] == {}


def test_bad_options_of_the_callback(unchecked):
    callback = pytest.importorskip("relstab.integrations.lightning").StabilityCallback
    for arguments, options, sentence in (
        ((pictures(1),), {}, "at least 2 images"),
        ((pictures(2), 0), {}, "every_n_epochs is 0"),
        ((pictures(2),), {"layers": "all"}, "layers is no option"),
    ):
        with pytest.raises(ValueError, match=sentence):
            callback(*arguments, **options)


@pytest.mark.parametrize("package", ["torchmetrics", "lightning"])
def test_a_missing_package_is_one_sentence(package):
    code = f"import sys; sys.modules[{package!r}] = None; import relstab.integrations.{package}"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert process.returncode == 1
    assert f"relstab.integrations.{package} needs the package {package}: pip install" in process.stderr
