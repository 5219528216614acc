"""The training loop against a DataLoader loop in the papers' authors' style and against the bare network.

    python benchmarks/training.py

Writes results/training.json and results/training.md. Data: CIFAR-10 as JPEG if it is at hand, else the small
Fashion-MNIST of the package. The authors' style is our own writing of it: a DataLoader with one PIL pipeline
per image (crop, flip, tensor, normalise), the loss read from the device with `.item()` at every step,
float32, the default memory layout. It runs in this process, so that its CPU time is counted; with a worker
process beside it its speed would be that of the slower of the two, in the table as "bound with a worker".
"""

import time
from dataclasses import replace

import _harness
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from relstab import data, models
from relstab.random import seeded
from relstab.train import TrainingSet, error_rate, fit
from relstab.train.data import layout
from relstab.train.loop import Observer, make_optimizer, train_epoch
from relstab.train.recipes import learning_rate, one_cycle
from relstab.vision import torchvision

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
IMAGES = 4096  # of a timed epoch
AIM = 0.9  # of the bare network's images a second
SPEED = (("fc_l4", 1.0, 9), ("lenet", 1.0, 9), ("vgg11_bn", 0.25, 5), ("resnet18", 0.25, 3))  # and repeats
QUALITY = (("lenet", 1.0, 4), ("vgg11_bn", 0.125, 2))  # and seeds
QUALITY_IMAGES, QUALITY_EPOCHS = 10000, 8


class Pictures(Dataset):
    """One PIL image at a time, transformed in Python."""

    def __init__(self, split, recipe, dataset):
        transforms = torchvision.transforms
        self.images = [transforms.functional.to_pil_image(image) for image in split.images]
        self.labels = split.labels.tolist()
        augment = [
            transforms.RandomCrop(split.images.shape[-1], padding=recipe.crop),
            transforms.RandomHorizontalFlip(),
        ]
        tensor = [transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
        self.transform = transforms.Compose((augment if recipe.crop else []) + tensor)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.labels[index]


def loader_epoch(model, loader, optimizer, recipe, epoch):
    """One epoch in the authors' style."""
    model.train()
    for step, (inputs, labels) in enumerate(loader):
        inputs, labels = inputs.to(DEVICE), labels.to(DEVICE)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, epoch + step / len(loader))
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        loss.item()


def plain_optimizer(model, recipe):
    """SGD or Adam without fused kernels."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    options = {name: getattr(recipe, name) for name in ("lr", "momentum", "nesterov", "weight_decay")}
    return torch.optim.SGD(model.parameters(), **options)


def clock():
    """CPU seconds of this process; seconds on a GPU, when it is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def build(architecture, width, dataset, seed=0):
    images = dataset.train.images
    return models.build(
        architecture, in_channels=images.shape[1], image_size=images.shape[-1], width=width, generator=seeded(seed)
    ).to(DEVICE)


def ways(architecture, width, dataset):
    """{name: a function that goes once through IMAGES images}."""
    split, base = dataset.train.take(range(IMAGES)), one_cycle(architecture, epochs=4)
    found = {}
    for precision in ("float32", "bfloat16"):
        recipe = replace(base, precision=precision)
        model = build(architecture, width, dataset).to(memory_format=layout(recipe)).train()
        training = TrainingSet(split, recipe, dataset.normalise, DEVICE)
        optimizer, observer = make_optimizer(model, recipe, DEVICE), Observer(None, model, [])
        inputs, labels = next(iter(training.epoch(0, seed=0)))

        def bare(model=model, inputs=inputs, labels=labels, recipe=recipe, steps=training.steps):
            for _ in range(steps):
                model.zero_grad()
                with torch.autocast(DEVICE.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                    outputs = model(inputs)
                cross_entropy(outputs.float(), labels).backward()

        def ours(model=model, training=training, optimizer=optimizer, observer=observer):
            train_epoch(model, training, optimizer, 0, seed=0, observer=observer)

        found[f"bare forward and backward, {precision}"] = bare
        found[f"relstab.train, {precision}"] = ours
    model = build(architecture, width, dataset)
    loader = DataLoader(Pictures(split, base, dataset), base.batch_size, shuffle=True)
    optimizer = plain_optimizer(model, base)
    found["authors' style, float32"] = lambda: loader_epoch(model, loader, optimizer, base, 0)
    found["its loader alone"] = lambda: [None for _ in loader]
    return found


def speed(dataset):
    """Rows: images a second of every way, also relative to the bare network in the same precision."""
    rows = []
    for architecture, width, repeats in SPEED:
        rates = {}
        for name, function in ways(architecture, width, dataset).items():
            seconds = _harness.measure(function, repeats=repeats, warmup=1, clock=clock)
            rates[name] = {
                "images / s": IMAGES / seconds["median"],
                "quartile 1": IMAGES / seconds["high"],
                "quartile 3": IMAGES / seconds["low"],
            }
        loader, loop = rates["its loader alone"]["images / s"], rates["authors' style, float32"]["images / s"]
        bound = min(loader, 1 / (1 / loop - 1 / loader))
        rates["authors' style, bound with a worker"] = {"images / s": bound, "quartile 1": None, "quartile 3": None}
        ours = rates["relstab.train, float32"]["images / s"]
        for name, rate in rates.items():
            bare = rates.get(f"bare forward and backward, {name.rpartition(', ')[2]}", {}).get("images / s")
            net = f"{architecture}, width {width:g}"
            of_bare = rate["images / s"] / bare if bare else None
            rows.append({"net": net, "loop": name, **rate, "of bare": of_bare,
                         "relstab float32 is faster by": ours / rate["images / s"]})  # fmt: skip
    return rows


def quality(dataset):
    """Rows: test error after one recipe from the same weights with both loops, mean and range over seeds."""
    split = dataset.train.take(range(min(QUALITY_IMAGES, len(dataset.train))))
    rows = []

    def error(model):
        return error_rate(model, dataset.test.images, dataset.test.labels, normalise=dataset.normalise)

    for architecture, width, seeds in QUALITY:
        recipe = one_cycle(architecture, epochs=QUALITY_EPOCHS)
        errors = {"relstab.train": [], "authors' style": []}
        for seed in range(seeds):
            model = build(architecture, width, dataset, seed)
            fit(model, split, recipe, normalise=dataset.normalise, seed=seed, device=DEVICE)
            errors["relstab.train"].append(error(model))
            model = build(architecture, width, dataset, seed)
            torch.manual_seed(seed)
            loader = DataLoader(Pictures(split, recipe, dataset), recipe.batch_size, shuffle=True)
            optimizer = plain_optimizer(model, recipe)
            for epoch in range(recipe.epochs):
                loader_epoch(model, loader, optimizer, recipe, epoch)
            errors["authors' style"].append(error(model))
        for name, values in errors.items():
            rows.append({"net": f"{architecture}, width {width:g}", "loop": name, "seeds": seeds,
                         "mean test error": sum(values) / seeds, "lowest": min(values),
                         "highest": max(values)})  # fmt: skip
    return rows


def main():
    _harness.single_thread()
    try:
        dataset = data.load("cifar10-jpeg", download=False)
    except FileNotFoundError:
        dataset = data.load("fashion-mini")
    notes = (
        f"Data: {dataset.name}; epochs of {IMAGES} images, batch 128, crop and flip. CPU time of one thread "
        f"(wall time on a GPU). The aim is {AIM} of the bare network in the same precision and layout; the bare "
        "network does no optimizer step and sees one batch again and again."
    )
    tables = {"Speed": speed(dataset), "Equal error": quality(dataset)}
    short = [row for row in tables["Speed"] if row["loop"].startswith("relstab") and row["of bare"] < AIM]
    if short:
        listed = "; ".join(f"{row['net']}, {row['loop'].split()[-1]}: {row['of bare']:.2f}" for row in short)
        notes += f"\n\nWhere the aim is missed, by nets so small that a batch's data cost as much: {listed}."
    conditions = _harness.machine("torch", "torchvision") | {"device": str(DEVICE)}
    _harness.write("training", "Training loops", notes, conditions, tables)


if __name__ == "__main__":
    main()
