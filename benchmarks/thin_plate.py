"""Thin-plate deformations in single-thread CPU time: relstab's one matrix against scipy's RBFInterpolator.

    python benchmarks/thin_plate.py

Writes results/thin_plate.json and results/thin_plate.md. The fields are the same to 1e-5 pixels, checked before
the clock starts.
"""

import _harness
import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from relstab.diffeo import thin_plate
from relstab.diffeo.fields import warp


def positions(size):
    """All pixels (x, y) of the unit square."""
    line = np.linspace(0, 1, size)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def scipy_fields(displacements, size):
    """The fields of displacements [batch, 2, points, points] by one interpolation, [batch, 2, size, size]."""
    batch, _, points, _ = displacements.shape
    values = displacements.reshape(2 * batch, -1).T
    spline = RBFInterpolator(positions(points), values, kernel="thin_plate_spline", degree=1)
    return spline(positions(size)).T.reshape(batch, 2, size, size)


def scipy_deform(image, displacements):
    """One image, as one writes it without relstab: fit, evaluate, sample."""
    size = image.shape[-1]
    dx, dy = scipy_fields(displacements[None], size)[0]
    rows, columns = np.mgrid[:size, :size]
    source = [rows - dy, columns - dx]
    return np.stack([map_coordinates(channel, source, order=1, mode="nearest") for channel in image])


def compare(batch, size, points, maximum, *, repeats):
    """Rows for a batch of RGB images: what, milliseconds per image (median, quartiles), times relstab."""
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    drawn = thin_plate.sample_displacements(batch, points, maximum, generator=torch.Generator().manual_seed(0))
    arrays, given = images.numpy(), drawn.numpy()

    def fields():
        return thin_plate.displacement_field(drawn, size)

    def ours():
        return warp(images, fields())

    def theirs():
        return [scipy_deform(image, one) for image, one in zip(arrays, given, strict=True)]

    check(fields().numpy(), scipy_fields(given, size))
    check(ours().numpy(), np.stack(theirs()))
    cases = [  # what, function, runs
        ("relstab, deform", ours, repeats),
        ("scipy, deform image by image", theirs, 3),
        ("relstab, fields only", fields, repeats),
        ("scipy, fields image by image", lambda: [scipy_fields(one[None], size) for one in given], 3),
        ("scipy, fields of the batch at once", lambda: scipy_fields(given, size), 5),
    ]
    rows = []
    for what, function, runs in cases:
        seconds = _harness.measure(function, repeats=runs, warmup=1)
        low, median, high = (1e3 * seconds[key] / batch for key in ("low", "median", "high"))
        rows.append({"what": what, "ms per image": median, "quartile 1": low, "quartile 3": high, "runs": runs})
    for row in rows:
        base = rows[2 if "fields" in row["what"] else 0]
        row["times relstab"] = row["ms per image"] / base["ms per image"]
    return rows


def check(ours, theirs):
    """Stop unless two ways gave the same."""
    if np.abs(ours - theirs).max() > 5e-5:
        raise SystemExit("relstab and scipy give different results: nothing to compare")


def main():
    _harness.single_thread()
    tables = {
        "256 x 3 x 32 x 32, 3 x 3 control points": compare(256, 32, 3, 2.0, repeats=15),
        "16 x 3 x 224 x 224, 5 x 5 control points": compare(16, 224, 5, 10.0, repeats=9),
    }
    notes = """CPU time of one thread, float32 (scipy: float64). The last column compares what deforms with
relstab's deform, and fields with fields. Both compute the same fields and images (checked in this run)."""
    conditions = _harness.machine("torch", "scipy")
    _harness.write("thin_plate", "Thin-plate deformations", notes, conditions, tables)


if __name__ == "__main__":
    main()
