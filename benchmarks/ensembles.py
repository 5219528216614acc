"""Training several small 1-D networks at once: batched matrix products, one at a time, torch.func.vmap.

    python benchmarks/ensembles.py

Writes results/ensembles.json and results/ensembles.md. The network is that of task 1 of paper A (12 layers,
filters of 3, ring of 32 sites, batches of 8). All ways take the same step, which is checked before the clock
starts.
"""

from math import sqrt

import _harness
import torch
from torch.nn import functional

from relbook.studies.scale_detection import networks as simple_cnn
from relbook.studies.scale_detection.networks import Architecture

LAYERS, FILTER, LENGTH, BATCH = 12, 3, 32, 8
RATE, RIDGE = 1e-3, 0.1
STEPS = 5  # a call


def batch(members):
    """Two active pixels per image, labels alternating, the same for every member."""
    generator = torch.Generator().manual_seed(0)
    sites = torch.rand(BATCH, LENGTH, generator=generator).argsort(1)[:, :2]
    images = torch.zeros(BATCH, LENGTH).scatter_(1, sites, 4.0).reshape(1, BATCH, 1, LENGTH)
    labels = torch.tensor([1, -1]).repeat(BATCH // 2)
    return images.expand(members, -1, -1, -1), labels.expand(members, -1)


# One network as one would write it with conv1d; the parameters have the layout of a member of an ensemble.


def conv_loss(parameters, images, labels):
    """Mean hinge of one member."""
    filters, biases = parameters[:LAYERS], parameters[LAYERS : 2 * LAYERS]
    readout, offset = parameters[2 * LAYERS :]
    z = images
    for weight, bias in zip(filters, biases, strict=True):
        channels = z.shape[1]
        taps = weight.unflatten(-1, (FILTER, channels)).transpose(1, 2)
        padded = functional.pad(z, (1, 1), mode="circular")
        z = sqrt(FILTER) * (functional.conv1d(padded, taps) / sqrt(channels * FILTER) + bias).relu()
    output = (readout @ z.mean(-1).T).squeeze(0) / z.shape[1] + offset
    return (1 - labels * output).clamp(min=0).mean()


def apply(parameters, gradients, width):
    """The gradient step of the ensemble, decay of the filters included."""
    with torch.no_grad():
        torch._foreach_mul_(parameters[:LAYERS], 1 - 2 * RATE * RIDGE / LAYERS)
        torch._foreach_add_(parameters, gradients, alpha=-RATE * width)


def ways(width, members):
    """{name: (step, read)}: `step` takes one step of all members, `read` gives their stacked parameters."""
    images, labels = batch(members)
    options = {"learning_rate": RATE, "ridge": RIDGE}
    together = simple_cnn.initialise(Architecture(LAYERS, width, FILTER), range(members))
    alone = [together.take([m]) for m in range(members)]
    plain = [[p[m].clone().requires_grad_() for p in together.parameters] for m in range(members)]
    stacked = [p.clone() for p in together.parameters]
    gradient = torch.func.vmap(torch.func.grad(conv_loss))

    def conv_one_by_one():
        for parameters in plain:
            loss = conv_loss(parameters, images[0], labels[0])
            apply(parameters, torch.autograd.grad(loss, parameters), width)

    def relstab_one_by_one():
        for member in alone:
            simple_cnn.step(member, images[:1], labels[:1], **options)

    return {
        "all members in one bmm, relstab": (
            lambda: simple_cnn.step(together, images, labels, **options),
            lambda: together.parameters,
        ),
        "one member at a time, conv1d": (
            conv_one_by_one,
            lambda: [torch.stack(same) for same in zip(*plain, strict=True)],
        ),
        "one member at a time, relstab": (
            relstab_one_by_one,
            lambda: [torch.cat(same) for same in zip(*(a.parameters for a in alone), strict=True)],
        ),
        "all members in torch.func.vmap": (
            lambda: apply(stacked, gradient(stacked, images, labels), width),
            lambda: stacked,
        ),
    }


def check(width, members):
    """Stop unless one step from the same start ends at the same parameters in every way."""
    ends = {}
    for name, (step, read) in ways(width, members).items():
        step()
        ends[name] = [p.detach() for p in read()]
    first, *others = ends.values()
    for name, end in zip(list(ends)[1:], others, strict=True):
        if not all(torch.allclose(p, q, atol=1e-5) for p, q in zip(first, end, strict=True)):
            raise SystemExit(f"{name} takes another step: nothing to compare")


def compare(width, members):
    """Rows: way, milliseconds of CPU time per step of all members (median, quartiles), times relstab."""
    check(width, members)
    rows = []
    for name, (step, _) in ways(width, members).items():
        seconds = _harness.measure(lambda step=step: [step() for _ in range(STEPS)], repeats=9)
        low, median, high = (1e3 * seconds[key] / STEPS for key in ("low", "median", "high"))
        rows.append({"what": name, "ms per step": median, "quartile 1": low, "quartile 3": high,
                     "times relstab": median / rows[0]["ms per step"] if rows else 1.0})  # fmt: skip
    return rows


def main():
    _harness.single_thread()
    tables = {
        f"{members} members, {width} channels": compare(width, members)
        for width, members in ((16, 8), (32, 4), (32, 8), (64, 8), (128, 4))
    }
    slower = [
        f"{row['what']} takes {row['times relstab']:.2f} of its time for {heading}"
        for heading, rows in tables.items()
        for row in rows
        if row["times relstab"] < 1
    ]
    gain = tables["8 members, 32 channels"][1]["times relstab"]
    notes = (
        f"CPU time of one thread, float32, {LAYERS} layers, ring of {LENGTH}, batches of {BATCH}. At 32 "
        f"channels 8 members in one batched product are {gain:.1f} times faster than one at a time with "
        + "conv1d. "
        + ("Where it is slower: " + "; ".join(slower) if slower else "It is the fastest in every row")
        + "."
    )
    _harness.write("ensembles", "Training ensembles of small networks", notes, _harness.machine("torch"), tables)


if __name__ == "__main__":
    main()
