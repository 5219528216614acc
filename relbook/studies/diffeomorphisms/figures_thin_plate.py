"""Figures of paper C on deformations: Figs. 1 and 2, the tasks of Fig. 5, and the ensemble beside that of B."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from relbook.drawing import style
from relbook.studies.ruderman import random_fields
from relbook.studies.ruderman.templates import deformed_templates
from relstab.diffeo import thin_plate
from relstab.diffeo.fields import warp


def _show(ax: Axes, image: Float[Tensor, "channel height width"], title: str = "") -> None:
    """An image [channel, height, width] in [0, 1] without axes."""
    ax.imshow(image.permute(1, 2, 0).clamp(0, 1).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


@style.styled
def examples(images: Sequence[tuple], *, copies: int = 4, seed: int = 0) -> Figure:
    """C Fig. 1: originals on the left, deformed copies of each to their right.

    Args:
        images: pairs of an image [channel, n, n] in [0, 1] and a setting, a value of
            `relstab.diffeo.thin_plate.PAPER`.
    """
    fig, axes = style.figure(len(images), copies + 1, height=1.55 * len(images), squeeze=False)
    for row, (image, setting) in zip(axes, images, strict=True):
        generator = torch.Generator().manual_seed(seed)
        deformed = thin_plate.deform(image.repeat(copies, 1, 1, 1), **setting, generator=generator)
        for ax, picture in zip(row, (image, *deformed), strict=True):
            _show(ax, picture)
        row[0].set_ylabel(f"{setting['points']} × {setting['points']}, ±{setting['maximum']:g} px", fontsize=10)
    axes[0, 0].set_title("original")
    middle = axes[0, (copies + 1) // 2]
    middle.set_title("deformed", x=0.5 if copies % 2 else 1.03)  # over all copies
    return fig


@style.styled
def construction(
    image: Float[Tensor, "channel height width"],
    *,
    points: int = 4,
    maximum: float = 40.0,
    arrows: int = 14,
    seed: int = 0,
) -> Figure:
    """C Fig. 2: how a deformation is made, in four steps. image: [channel, n, n] in [0, 1]; maximum: pixels.

    Arrows are drawn to scale from the source p − τ(p) to the pixel p, as in the caption of C.
    """
    size = image.shape[-1]
    drawn = thin_plate.sample_displacements(1, points, maximum, generator=torch.Generator().manual_seed(seed))
    field = thin_plate.displacement_field(drawn, size)
    at = torch.linspace(0, size - 1, arrows).round().long()
    smooth = (at.repeat(arrows), at.repeat_interleave(arrows), *field[0][:, at][:, :, at].flatten(1))
    control = (thin_plate.control_points(points) * (size - 1)).T
    fig, axes = style.figure(2, 2, height=7.2)
    _arrows(axes[0, 0], *control, *drawn[0].flatten(1), colour=style.RED, width=0.009)
    axes[0, 0].plot(*control, "o", color=style.BLACK, label="control point")
    axes[0, 0].plot(*(control - drawn[0].flatten(1)), "x", color=style.RED, label="its random source")
    axes[0, 0].legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, columnspacing=1, handletextpad=0.2)
    _arrows(axes[0, 1], *smooth, colour=style.BLUE)
    _show(axes[1, 0], image)
    _arrows(axes[1, 0], *smooth, colour="white")
    _show(axes[1, 1], warp(image[None], field)[0])
    margin = 1.1 * maximum
    titles = ("(a) control points", "(b) thin-plate spline", "(c) laid over the image", "(d) result")
    for ax, title in zip(axes.flat, titles, strict=True):
        ax.set(title=title, aspect="equal")
        ax.set(xlim=(-margin, size - 1 + margin), ylim=(size - 1 + margin, -margin))
        ax.add_patch(Rectangle((0, 0), size - 1, size - 1, fill=False, color=style.GREY, lw=0.8))
        ax.axis("off")
    return fig


def _arrows(ax: Axes, x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, *, colour: str, width: float | int = 0.005) -> None:
    """Arrows (dx, dy) that end at (x, y), in pixels; white ones have a dark rim."""
    rim = [patheffects.withStroke(linewidth=1.6, foreground=style.BLACK)] if colour == "white" else []
    ax.quiver(
        x - dx, y - dy, dx, dy, angles="xy", scale_units="xy", scale=1, color=colour, width=width, path_effects=rim
    )


@style.styled
def templates(
    images: Float[Tensor, "image channel height width"],
    *,
    strengths: Sequence = (1, 2, 3, 4),
    columns: int = 8,
    points: int = 3,
    seed: int = 0,
) -> Figure:
    """C Fig. 5, left: what the classes of the synthetic tasks look like, one row a strength.

    Args:
        images: templates [class, channel, height, width] in [0, 1]. The first column is the first template; the
            others are deformed copies of it, then of the second one in the right half. Copies keep their draw
            from row to row.
    """
    half = columns // 2
    fig, axes = style.figure(len(strengths), columns, height=0.98 * len(strengths) + 0.3, squeeze=False)
    for row, strength in zip(axes, strengths, strict=True):
        generator = torch.Generator().manual_seed(seed)
        copies, labels = deformed_templates(images[:2], half - 1, strength, points=points, generator=generator)
        for label, start in ((0, 0), (1, half)):
            pictures = (images[label], *copies[labels == label])
            for ax, picture in zip(row[start : start + half], pictures, strict=True):
                _show(ax, picture)
        row[0].set_ylabel(f"C = {strength:g}")
    for start in (0, half):
        axes[0, start].set_title("template", fontsize=10)
        axes[0, start + half // 2].set_title("deformed copies", fontsize=10)
    return fig


@style.styled
def ensembles(
    *, size: int = 32, setting: Mapping = thin_plate.PAPER["cifar10"], displacement: float | int = 1.0, cut: int = 3
) -> Figure:
    """The ensemble of C beside that of B, exactly: how far pixels move along the middle row,
    and at which wave numbers.
    """
    cases = [
        (f"Ruderman: {setting['points']} × {setting['points']} points, ±{setting['maximum']:g} px",
         random_fields.thin_plate_fields(**setting, size=size), style.RED, "o"),
        (f"Petrini: δ = {displacement:g} px, c = {cut}",
         random_fields.maximum_entropy_fields(displacement, cut, size), style.BLUE, "s"),
    ]  # fmt: skip
    fig, (profile, waves) = style.figure(1, 2, height=3.3)
    for label, fields, colour, line in cases:
        middle = fields.unflatten(0, (size, size))[size // 2]
        rms = (2 * middle.square().sum(-1)).sqrt()
        profile.plot(rms, marker=line, color=colour, label=label, markersize=4, markevery=2)
        spectrum = random_fields.spectrum(fields)[: size // 2 - 3]
        waves.plot(spectrum, marker=line, color=colour, label=label, markersize=4)
    profile.set(xlabel="column, in the middle row", ylabel="rms displacement [px]", ylim=(0, None))
    waves.set(xlabel="wave number k [half waves]", ylabel="power [px²]", yscale="log",
              xticks=range(0, size // 2 - 3, 2), ylim=(1e-5, 2))  # fmt: skip
    fig.legend(*profile.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig
