"""Time and memory of relstab.sensitivity against a plain forward pass and against keeping every activation.

    python benchmarks/sensitivity.py

Writes results/sensitivity.json and results/sensitivity.md. The yardstick is the forward pass of the same 3P
images without reading anything. "keep everything" is what one writes first: hooks that store each module's
output for x, τx and x + η, then float64 distances between all pairs of images; that it gives the same D, G
and R is checked before the clock starts. The ways take turns, and the ratio is that of each turn.
"""

import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import _harness
import torch

from relstab import models, sensitivity, vision
from relstab.probes.perturbations import perturbations

TURNS = 3


def seeded():
    return torch.Generator().manual_seed(0)


def network(name, width, size):
    """A network of relstab.models by name, or torchvision's ResNet-50."""
    if name == "torchvision resnet50":
        return vision.models.resnet50().eval()
    return models.build(name, width=width, image_size=size, generator=seeded()).eval()


def batches(images, batch_size):
    return perturbations(images, generator=seeded())(batch_size, images.device)


def forward(model, images, batch_size):
    """The images' 3P forward passes alone."""
    with torch.no_grad():
        for part in images.split(batch_size):
            model(torch.cat([part, part, part]))


def keep_everything(model, images, batch_size):
    """{module: (D, G, R)} of every module without children, from all its outputs kept in memory."""
    kept, calls = {}, Counter()

    def keep(name, output):
        calls[name] += 1
        label = name if calls[name] == 1 else f"{name}:{calls[name]}"
        kept.setdefault(label, []).append(output.clone())  # an in-place activation would overwrite it

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output))
        for name, module in model.named_modules()
        if not any(module.children())
    ]
    with torch.no_grad():
        for triple in batches(images, batch_size):
            calls.clear()
            model(torch.cat(triple))
    for hook in hooks:
        hook.remove()
    return {label: ratios([part.flatten(1).chunk(3) for part in parts]) for label, parts in kept.items()}


def ratios(parts):
    clean, deformed, noisy = (torch.cat(pieces).double() for pieces in zip(*parts, strict=True))
    distance = torch.cdist(clean, clean).square().mean()
    tau, eta = ((moved - clean).square().sum(1).mean() for moved in (deformed, noisy))
    return [value.item() for value in (tau / distance, eta / distance, tau / eta)]


def ways(model, images, batch_size):
    """{what: function} to be compared."""

    def read(layers):
        return sensitivity(model, images, layers=layers, batch_size=batch_size, generator=seeded())

    return {
        "plain forward pass": lambda: forward(model, images, batch_size),
        "relstab, output": lambda: read("output"),
        "relstab, blocks": lambda: read("blocks"),
        "relstab, all modules": lambda: read("all"),
        "keep everything, all modules": lambda: keep_everything(model, images, batch_size),
    }


def check(model, images, batch_size):
    """Stop if keeping everything and relstab disagree on a module."""
    expected = keep_everything(model, images, batch_size)
    table = sensitivity(model, images, layers="all", batch_size=batch_size, generator=seeded())
    for row in table.itertuples():
        ours = torch.tensor([row.D, row.G, row.R])
        if not torch.allclose(ours, torch.tensor(expected[row.layer]), rtol=1e-3):
            raise SystemExit(f"{row.layer}: {ours.tolist()} by relstab, {expected[row.layer]} by keeping all")


def speed(name, width, size, count, batch_size):
    """One row a way: CPU milliseconds per image, quartiles, and the ratio to a plain forward pass."""
    model = network(name, width, size)
    images = torch.randn(count, 3, size, size, generator=seeded())
    functions = ways(model, images, batch_size)
    if size <= 64:
        check(model, images, batch_size)
    else:  # gigabytes: its memory is measured instead
        del functions["keep everything, all modules"]
    seconds = {what: [] for what in functions}
    for _ in range(TURNS):
        for what, function in functions.items():
            start = time.process_time()
            function()
            seconds[what].append(time.process_time() - start)
    rows = []
    for what, times in seconds.items():
        low, median, high = (1e3 * t / count for t in statistics.quantiles(times, n=4, method="inclusive"))
        plain = seconds["plain forward pass"]
        ratio = statistics.median(t / p for t, p in zip(times, plain, strict=True))
        rows.append({"what": what, "ms per image": median, "quartile 1": low, "quartile 3": high,
                     "times a forward pass": ratio})  # fmt: skip
    return rows


def peak(what, count, batch_size):
    """GB by which the peak resident memory grows over model and images, in a fresh process."""
    command = [sys.executable, __file__, "--peak", what, str(count), str(batch_size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report_peak(what, count, batch_size):
    model, images = network("torchvision resnet50", 1, 224), torch.randn(count, 3, 224, 224)
    before = peak_resident()
    ways(model, images, batch_size)[what]()
    print(peak_resident() - before)


def peak_resident():
    """GB. Linux's getrusage also counts the process that started this one, so ask for this one's own mark."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text()).group(1)) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes on macOS


def memory(batch_size=8):
    rows = []
    for what in ways(None, None, batch_size):
        counts = (8, 16) if what.startswith("keep") else (8, 32)
        grown = {count: peak(what, count, batch_size) for count in counts}
        rows.append({"what": what, **{f"GB, {n} images": grown.get(n) for n in (8, 16, 32)}})
    return rows


def main():
    _harness.single_thread()
    tables = {
        f"{name}, width {width:g}: {count} x 3 x {size} x {size}, chunks of {chunk}":
        speed(name, width, size, count, chunk)
        for name, width, size, count, chunk in (
            ("lenet", 1, 32, 256, 128),
            ("vgg11_bn", 0.25, 32, 128, 64),
            ("resnet18", 0.25, 32, 128, 64),
            ("resnet18", 1, 32, 32, 16),
            ("torchvision resnet50", 1, 224, 16, 8),
        )
    }  # fmt: skip
    blocks = [row for rows in tables.values() for row in rows if row["what"] == "relstab, blocks"]
    slowest = max(row["times a forward pass"] for row in blocks)
    tables["Peak memory beyond model and images: torchvision resnet50, 224 x 224, chunks of 8"] = memory()
    notes = (
        "CPU time of one thread, float32; medians over turns. relstab's time includes drawing τ and η and a "
        "first pass of two images that finds the layers. Slowest reading of the blocks: "
        f"{slowest:.2f} times a plain forward pass (the aim is 1.3). Memory is the growth of the peak "
        "resident set: keeping everything grows in proportion to the number of images, streaming stays near one "
        "forward pass and the sums. Small networks miss the aim: drawing τ and η takes as long as they do."
    )
    conditions = _harness.machine("torch", "torchvision")
    _harness.write("sensitivity", "Sensitivities of a network's layers", notes, conditions, tables)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _harness.single_thread()
        report_peak(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
