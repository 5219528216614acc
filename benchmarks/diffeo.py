"""Random image deformations in single-thread CPU time: relstab, a per-image loop, torchvision and kornia.

    python benchmarks/diffeo.py

Writes results/diffeo.json and results/diffeo.md. kornia is optional. What the rows do differs, and the table says how:
torchvision gives one displacement field to a whole batch, and both elastic transforms smooth white noise instead of
drawing smooth modes. The per-image loop is the same map as relstab's, checked before the clock starts.
"""

import _harness
import torch

from relstab import diffeo
from relstab.diffeo.fields import GAUSSIAN_WIDTH
from relstab.vision import v2

CUT, DELTA = 3, 1.0
LARGEST = 25.0  # milliseconds that deforming 512 images of 32 x 32 may take
FASTER = 20.0  # times, at least, that the Gaussian in a window is faster than over all pixels


def seeded():
    return torch.Generator().manual_seed(0)


# The per-image loop: what one writes for one image, called for every image of the batch.


def loop(images, coefficients, temperature, interpolate):
    """The deformation of every image in turn, with about 25 small operations each."""
    return torch.stack(
        [
            interpolate(image, *one_field(single, temperature, image.shape[-1]))
            for image, single in zip(images, coefficients, strict=True)
        ]
    )


def one_field(coefficients, temperature, size):
    """Displacements dx and dy in pixels of one square image."""
    position = torch.linspace(0, 1, size)
    frequency = torch.arange(1, coefficients.shape[-1] + 1)
    sines = torch.sin(torch.pi * position[:, None] * frequency)
    dx, dy = (torch.einsum("ij,xi,yj->yx", component, sines, sines) for component in coefficients)
    return temperature**0.5 * size * dx, temperature**0.5 * size * dy


def one_source(image, dx, dy):
    size = image.shape[-1]
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (x - dx).clamp(0, size - 1), (y - dy).clamp(0, size - 1)


def one_bilinear(image, dx, dy):
    """Four gathers, weighted by hand."""
    x, y = one_source(image, dx, dy)
    left, top, right, bottom = x.floor().long(), y.floor().long(), x.ceil().long(), y.ceil().long()
    u, v = x - left, y - top
    upper = (1 - u) * image[:, top, left] + u * image[:, top, right]
    lower = (1 - u) * image[:, bottom, left] + u * image[:, bottom, right]
    return (1 - v) * upper + v * lower


def one_dense_gaussian(image, dx, dy):
    """Weights over all pixels of the image for every pixel of the result."""
    x, y = one_source(image, dx, dy)
    pixel = torch.arange(image.shape[-1])
    square = (x[..., None, None] - pixel) ** 2 + (y[..., None, None] - pixel[:, None]) ** 2
    weight = (-square / (2 * GAUSSIAN_WIDTH**2)).exp()
    return torch.einsum("yxvu,cvu->cyx", weight / weight.sum((-1, -2), keepdim=True), image)


# The comparison


def compare(batch, size, *, repeats):
    """Rows for a batch of RGB images: what, milliseconds per image (median, quartiles), times relstab."""
    images = torch.rand(batch, 3, size, size, generator=seeded())
    some = images[: max(1, batch // 64)]  # for what takes milliseconds to seconds an image
    temperature = diffeo.temperature(DELTA, CUT, size)

    def ours(given, interpolation):
        return diffeo.deform(given, displacement=DELTA, cut=CUT, interpolation=interpolation, generator=seeded())

    def by_loop(given, interpolate):
        drawn = diffeo.sample_coefficients(len(given), CUT, generator=seeded())
        return loop(given, drawn, temperature, interpolate)

    def fields(given):
        drawn = diffeo.sample_coefficients(len(given), CUT, generator=seeded())
        return diffeo.displacement_field(drawn, temperature, size)

    field = fields(images)
    elastic = v2.ElasticTransform(alpha=50.0, sigma=5.0)
    each, shared = "one per image", "one per batch"
    cases = [  # what, fields, function of images, images, runs
        ("relstab, bilinear", each, lambda x: ours(x, "bilinear"), images, repeats),
        ("the same map, per-image loop", each, lambda x: by_loop(x, one_bilinear), images, 5),
        ("relstab, nearest", each, lambda x: ours(x, "nearest"), images, repeats),
        ("relstab, Gaussian in a window", each, lambda x: ours(x, "gaussian"), images, 5),
        ("relstab, coefficients and fields only", each, fields, images, repeats),
        ("relstab, is_bijective", each, lambda x: diffeo.is_bijective(field), images, 5),
        ("torchvision ElasticTransform", shared, elastic, images, 5),
        ("torchvision ElasticTransform, image by image", each, lambda x: [elastic(i) for i in x], some, 3),
    ]
    check(ours(images, "bilinear"), by_loop(images, one_bilinear))
    if size <= 64:  # 224 x 224 would take 10 GB an image
        cases.insert(4, ("the same map, dense Gaussian", each, lambda x: by_loop(x, one_dense_gaussian), some, 3))
        check(ours(some, "gaussian"), by_loop(some, one_dense_gaussian))
    if _harness.version("kornia") != "not installed":
        from kornia.augmentation import RandomElasticTransform

        kornia = RandomElasticTransform(kernel_size=(33, 33), sigma=(5.0, 5.0), p=1.0)
        cases.append(("kornia RandomElasticTransform", each, kornia, images, 5))
    rows = [timed(*case) for case in cases]
    if _harness.version("kornia") == "not installed":
        rows.append({**dict.fromkeys(rows[0]), "what": "kornia RandomElasticTransform", "fields": "not installed"})
    for row in rows:
        milliseconds = row["ms per image"]
        row["times relstab"] = None if milliseconds is None else milliseconds / rows[0]["ms per image"]
    return rows


def timed(name, fields, function, images, runs):
    """One row of the table."""
    seconds = _harness.measure(lambda: function(images), repeats=runs, warmup=1)
    low, median, high = (1e3 * seconds[key] / len(images) for key in ("low", "median", "high"))
    return {"what": name, "fields": fields, "ms per image": median, "quartile 1": low, "quartile 3": high,
            "runs": runs, "times relstab": None}  # fmt: skip


def check(ours, theirs):
    """Stop unless two ways to deform gave the same images."""
    if (ours - theirs).abs().max() > 5e-5:
        raise SystemExit("the per-image loop and relstab give different images: nothing to compare")


def losses(tables):
    """A sentence for each row, other than parts of relstab, that is faster than relstab's bilinear deform."""
    return [
        f"{row['what']} ({row['fields']}) takes {row['times relstab']:.2f} of relstab's time at {heading}."
        for heading, rows in tables.items()
        for row in rows
        if not row["what"].startswith("relstab") and (row["times relstab"] or 1) < 1
    ]


def promises(rows):
    """What must hold of the rows for 512 images of 32 x 32, and whether it does, in a sentence."""
    each = {row["what"]: row["ms per image"] for row in rows}
    whole = 512 * each["relstab, bilinear"]
    faster = each["the same map, dense Gaussian"] / each["relstab, Gaussian in a window"]
    broken = "" if whole <= LARGEST and faster >= FASTER else " **Not as promised.**"
    return (
        f"Deforming 512 images of 32 x 32 takes {whole:.1f} ms (at most {LARGEST:g}); the Gaussian in a window is "
        f"{faster:.0f} times faster than over all pixels (at least {FASTER:g}).{broken}"
    )


def main():
    _harness.single_thread()
    quiet = _harness.quiet()
    tables = {"512 x 3 x 32 x 32": compare(512, 32, repeats=15), "16 x 3 x 224 x 224": compare(16, 224, repeats=9)}
    slower = " ".join(losses(tables)) or "nowhere in this run, against the rows that are not relstab."
    notes = f"""CPU time of one thread, float32, cut {CUT}, δ = {DELTA:g} pixel. The loop and the dense
Gaussian compute the same images as relstab (checked in this run); elastic transforms draw other fields, white
noise smoothed by a Gaussian of 5 pixels.

{promises(tables["512 x 3 x 32 x 32"])}

Where relstab is slower: {slower}"""
    notes += "" if quiet else " **Taken on a busy machine.**"
    conditions = _harness.machine("torch", "torchvision", "kornia")
    _harness.write("diffeo", "Random image deformations", notes, conditions, tables)


if __name__ == "__main__":
    main()
