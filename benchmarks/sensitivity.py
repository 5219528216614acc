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
import warnings
from collections import Counter
from pathlib import Path

import _harness
import torch

from relstab import diffeo, models, sensitivity, vision
from relstab.probes.perturbations import perturbations
from relstab.probes.sensitivity import FoldingWarning

TURNS = 5
LARGEST = 1.8  # times a forward pass that the table of LeNet may take, error bars included
SWEEP = 0.75  # of the time of single calls that a sweep of 6 x 3 pairs may take
DISPLACEMENTS, CUTS = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5], [2, 3, 4]


def seeded():
    return torch.Generator().manual_seed(0)


def network(name, width, size, *, seen=True):
    """A network of relstab.models by name, or torchvision's ResNet-50; if `seen`, its BatchNorm has seen data."""
    if name == "torchvision resnet50":
        model = vision.models.resnet50()
    else:
        model = models.build(name, width=width, image_size=size, generator=seeded())
    if seen:
        with torch.no_grad():
            model.train()(torch.randn(4, 3, size, size, generator=seeded()))
    return model.eval()


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
    for _ in range(TURNS if size <= 64 else 3):
        for what, function in functions.items():
            start = time.process_time()
            function()
            seconds[what].append(time.process_time() - start)
    rows = []
    for what, times in seconds.items():
        low, median, high = (1e3 * t / count for t in statistics.quantiles(times, n=4, method="inclusive"))
        plain = seconds["plain forward pass"]
        ratio = statistics.median(t / p for t, p in zip(times, plain, strict=True))
        rows.append(
            {"what": what, "ms per image": median, "quartile 1": low, "quartile 3": high, "times a forward pass": ratio}
        )
    return rows


def parts(name, width, size, count, batch_size):
    """Where the time of a table goes: each part alone, in times a forward pass (medians over turns)."""
    model = network(name, width, size)
    images = torch.randn(count, 3, size, size, generator=seeded())

    def draw():
        for _ in batches(images, batch_size):
            pass

    functions = {
        "plain forward pass": lambda: forward(model, images, batch_size),
        "drawing τ and η, deforming the images": draw,
        "of it: the normal numbers of η": lambda: [torch.randn(images.shape[1:]) for _ in images],
        "of it: deform": lambda: diffeo.deform(images, generator=seeded()),
        "table of the output": lambda: sensitivity(model, images, layers="output", batch_size=batch_size, seed=0),
        "table of the blocks": lambda: sensitivity(model, images, batch_size=batch_size, seed=0),
    }
    ratios = in_turn(functions)
    return [{"part": what, "times a forward pass": ratio} for what, ratio in ratios.items()]


def sweeps(name, width, size, count, batch_size, *, seen=True):
    """Seconds of a sweep over 6 x 3 pairs, and of the 18 calls in its place."""
    model = network(name, width, size, seen=seen)
    images = torch.randn(count, 3, size, size, generator=seeded())

    def one_call():
        sensitivity(model, images, displacement=DISPLACEMENTS, cut=CUTS, batch_size=batch_size, seed=0)

    def calls():
        for displacement in DISPLACEMENTS:
            for cut in CUTS:
                sensitivity(model, images, displacement=displacement, cut=cut, batch_size=batch_size, seed=0)

    ratios = in_turn({"18 calls": calls, "one sweep of 6 x 3 pairs": one_call})
    return [{"what": what, "times 18 calls": ratio} for what, ratio in ratios.items()]


def in_turn(functions):
    """{what: median over turns of its CPU time over that of the first}, after one turn that does not count."""
    seconds = {what: [] for what in functions}
    for turn in range(TURNS + 1):
        for what, function in functions.items():
            start = time.process_time()
            function()
            if turn:
                seconds[what].append(time.process_time() - start)
    first = next(iter(seconds.values()))
    return {
        what: statistics.median(t / f for t, f in zip(times, first, strict=True)) for what, times in seconds.items()
    }


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
        if what == "relstab, output":  # takes what the blocks take, but for one layer's sums
            continue
        counts = (8, 16) if what.startswith("keep") else (8, 24)
        grown = {count: peak(what, count, batch_size) for count in counts}
        rows.append({"what": what, **{f"GB, {n} images": grown.get(n) for n in (8, 16, 24)}})
    return rows


def main():
    _harness.single_thread()
    quiet = _harness.quiet()
    warnings.simplefilter("ignore", FoldingWarning)
    lenet = ("lenet", 1, 32, 256, 128)
    tables = {
        "Where the time goes: lenet, 256 x 3 x 32 x 32, chunks of 128": parts(*lenet),
        "Sweeps: lenet, 128 x 3 x 32 x 32, chunks of 32": sweeps("lenet", 1, 32, 128, 32),
        "Sweeps: resnet18, width 0.25, 16 x 3 x 32 x 32, chunks of 8": sweeps("resnet18", 0.25, 32, 16, 8),
        "Sweeps: the same at initialisation, whose BatchNorm sees all images at once": sweeps(
            "resnet18", 0.25, 32, 16, 8, seen=False
        ),
    } | {
        f"{name}, width {width:g}: {count} x 3 x {size} x {size}, chunks of {chunk}": speed(
            name, width, size, count, chunk
        )
        for name, width, size, count, chunk in (
            lenet,
            ("vgg11_bn", 0.25, 32, 128, 64),
            ("resnet18", 0.25, 32, 64, 32),
            ("resnet18", 1, 32, 16, 8),
            ("torchvision resnet50", 1, 224, 8, 4),
        )
    }
    blocks = [row for rows in tables.values() for row in rows if row.get("what") == "relstab, blocks"]
    slowest = max(row["times a forward pass"] for row in blocks)
    swept = max(row["times 18 calls"] for rows in tables.values() for row in rows if "sweep" in row.get("what", ""))
    tables["Peak memory beyond model and images: torchvision resnet50, 224 x 224, chunks of 8"] = memory()
    notes = (
        "CPU time of one thread, float32; medians over turns. relstab's time includes drawing τ and η, a first pass "
        "of two images that finds the layers, a second of three that tries them, and the error bars. Slowest reading "
        f"of the blocks: {slowest:.2f} times a plain forward pass (at most {LARGEST}). A sweep takes at most "
        f"{swept:.2f} "
        f"of its single calls (at most {SWEEP}). Memory is the growth of the peak resident set: keeping "
        "everything grows "
        "in proportion to the number of images, streaming stays near one forward pass and the sums."
    )
    notes += "" if quiet else " **Taken on a busy machine.**"
    conditions = _harness.machine("torch", "torchvision")
    _harness.write("sensitivity", "Sensitivities of a network's layers", notes, conditions, tables)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _harness.single_thread()
        report_peak(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
