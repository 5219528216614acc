"""Figures of the maximum-entropy ensemble: B Figs. 1 and 2, A Fig. 1 left."""

import math

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from torch import Tensor

from relbook.drawing import style
from relstab import diffeo

MEASURED = {3: style.BLUE, 5: style.ORANGE, 15: style.GREEN}  # cut-offs of the measurements on 32 x 32 pixels
SAMPLE_CUTS = (3, 20)  # where phase_diagram draws deformed images
SAMPLE_FACTORS = (0.012, 0.25, 0.8, 20.0)  # their temperatures, in units of the measured fold boundary
LINES = 9  # of the grid that is deformed with these images, each way


def fold_boundary(rows: pd.DataFrame, quantile: float = 0.5, rule: str = "code") -> tuple[np.ndarray, np.ndarray]:
    """cut -> temperature below which a fraction 1 - quantile of the draws is free of folds."""
    chosen = rows[(rows["rule"] == rule) & (rows["quantile"] == quantile)].sort_values("cut")
    return chosen["cut"].to_numpy(), chosen["critical_temperature"].to_numpy()


@style.styled
def phase_diagram(rows: pd.DataFrame, image: Float[Tensor, "channel height width"], *, seed: int = 0) -> Figure:
    """B Fig. 1: temperature against cut-off, with the region of visible diffeomorphisms, and pictures deformed there.

    Coloured points: where the measurements on networks are made. A grid is deformed with each picture; its letter says
    where it lies.

    Args:
        rows: of the study `diffeomorphisms`.
        image: [channel, n, n] in [0, 1]; n sets the δ lines.
    """
    size = image.shape[-1]
    cuts, boundary = fold_boundary(rows)
    _, early = fold_boundary(rows, 0.05)
    _, late = fold_boundary(rows, 0.95)
    unit = np.array([diffeo.displacement(1.0, int(c), size, exact=True) for c in cuts])  # exact δ at T = 1
    nominal = np.array([diffeo.temperature(1.0, int(c), size) for c in cuts])
    fig, _ = style.figure(height=7.4)
    fig.clear()
    grid = fig.add_gridspec(1 + len(SAMPLE_CUTS), len(SAMPLE_FACTORS), height_ratios=[2.6] + [1] * len(SAMPLE_CUTS))
    ax = fig.add_subplot(grid[0, :])
    ax.set(xscale="log", yscale="log", xlabel="cut-off $c$", ylabel="temperature $T$",
           xlim=(cuts.min() * 0.9, cuts.max() * 1.9), ylim=(0.1 * unit.max() ** -2.0, boundary.max() * 60))  # fmt: skip
    ax.fill_between(
        cuts, (0.5 / unit) ** 2, boundary, where=boundary > (0.5 / unit) ** 2, color=style.GREEN, alpha=0.18, lw=0
    )
    ax.fill_between(cuts, early, late, color=style.GREY, alpha=0.35, lw=0)
    curves = {
        "half of the\ndraws fold": (boundary, {"color": style.BLACK, "marker": "o", "ms": 3.5}),
        "$8/(\\pi^3 c^2)$": (8 / (math.pi**3 * cuts**2), {"color": style.RED, "ls": style.PAPER}),
        "$\\delta = 1$": (unit**-2.0, {"color": style.BLACK}),
        "$\\delta = 1$, large $c$": (nominal, {"color": style.BLACK, "ls": style.PAPER}),
        "$\\delta = \\frac{1}{2}$": ((0.5 / unit) ** 2, {"color": style.BLACK, "lw": 1.0}),
    }
    lift = {"half of the\ndraws fold": -2, "$8/(\\pi^3 c^2)$": 4, "$\\delta = 1$, large $c$": 6, "$\\delta = 1$": -4}
    for text, (line, options) in curves.items():
        ax.plot(cuts, line, label=text.replace("\n", " "), **options)
        ax.annotate(text, (cuts[-1], line[-1]), xytext=(6, lift.get(text, 0)), textcoords="offset points", fontsize=9.5,
                    va="center", color=options["color"])  # fmt: skip
    small = [diffeo.temperature(1.0, int(c), 32) for c in cuts]
    ax.plot(cuts, small, color=style.GREY, ls=style.PAPER)
    ax.annotate("$\\delta = 1$ of\n32 pixels", (cuts[-1], small[-1]), xytext=(6, 14), textcoords="offset points",
                fontsize=9.5, va="center", color=style.GREY)  # fmt: skip
    for cut, colour in MEASURED.items():
        ax.plot(cut, diffeo.temperature(1.0, cut, 32), "o", color=colour, ms=9, zorder=5, label=f"measured, c = {cut}")
    ruled = image.clone()
    at = torch.linspace(0, size - 1, LINES).round().long()[1:-1]
    ink = torch.tensor([213.0, 94.0, 0.0])[:, None, None].div(255) if len(image) == 3 else torch.zeros(1, 1, 1)
    for shift in range(-(size // 320), size // 320 + 1):
        ruled[:, at + shift, :] = ink
        ruled[:, :, at + shift] = ink
    letters = iter("abcdefghij")
    for row, cut in enumerate(SAMPLE_CUTS, start=1):
        for column, factor in enumerate(SAMPLE_FACTORS):
            temperature = factor * float(np.exp(np.interp(math.log(cut), np.log(cuts), np.log(boundary))))
            letter = next(letters)
            ax.text(cut, temperature, letter, ha="center", va="center", fontsize=10, zorder=6,
                    bbox={"facecolor": "white", "edgecolor": style.BLACK, "boxstyle": "square,pad=0.25"})  # fmt: skip
            small = fig.add_subplot(grid[row, column])
            small.imshow(deformed(ruled, cut, temperature, seed=seed), cmap="gray", vmin=0, vmax=1)
            moved = diffeo.displacement(temperature, cut, size, exact=True)
            small.set_title(f"{letter}   δ = {moved:.{0 if moved > 10 else 1}f} px", fontsize=10)
            small.axis("off")
    ticks = [cut for cut in (2, 3, 5, 10, 20, 30, 50, 100) if cut <= cuts.max()]
    ax.set_xticks(ticks, [str(cut) for cut in ticks])
    ax.set_xticks([], minor=True)
    handles = [Patch(color=style.GREEN, alpha=0.18, label="one-to-one, δ ≥ ½ pixel"),
               Patch(color=style.GREY, alpha=0.35, label="5 % to 95 % of the draws fold")]  # fmt: skip
    dots = tuple(Line2D([], [], marker="o", ls="", ms=8, color=colour) for colour in MEASURED.values())
    names = [handle.get_label() for handle in handles] + ["where networks are measured"]
    fig.legend([*handles, dots], names, loc="outside lower center", ncols=2,
               handler_map={tuple: HandlerTuple(ndivide=None)})  # fmt: skip
    return fig


def deformed(
    image: Float[Tensor, "channel height width"], cut: int, temperature: float, *, seed: int = 0
) -> np.ndarray:
    """The image [channel, n, n] under one draw, as an array [n, n(, 3)] for imshow."""
    generator = torch.Generator().manual_seed(seed)
    out = diffeo.deform(image[None], temperature=temperature, cut=cut, generator=generator)[0]
    return out.permute(1, 2, 0).clamp(0, 1).squeeze(-1).numpy()


@style.styled
def noise_and_deformation(
    image: Float[Tensor, "channel height width"], *, displacement: float | int = 1.0, cut: int = 3, seed: int = 0
) -> Figure:
    """B Fig. 2: an image x, a diffeomorphism τx and the image with white noise of exactly the same norm.

    Left, the sphere of all images as far from x as τx is, seen along three of its directions (`on_sphere`).
    image: [channel, n, n].
    """
    moved, noise, bends, axis = on_sphere(image, displacement=displacement, cut=cut, seed=seed)
    fig, axes = style.figure(1, 4, height=2.5, gridspec_kw={"width_ratios": [1.35, 1, 1, 1]})
    sphere, turn = axes[0], np.linspace(0, 2 * np.pi, 200)
    sphere.add_patch(Circle((0, 0), 1, fill=False, color=style.GREY, lw=1.2))
    sphere.plot(*_seen(np.stack([np.cos(turn), np.sin(turn), 0 * turn])), color=style.GREY, lw=0.7)
    sphere.plot(*_seen(bends), color=style.GREEN, lw=2)
    points = [(np.zeros(3), "$x$", style.BLACK, "o"), (bends[:, 0], r"$\tau x$", style.GREEN, "D"),
              (axis, r"$x+\eta$", style.RED, "s")]  # fmt: skip
    for point, label, colour, marker in points:
        at = _seen(point)
        sphere.plot([0, at[0]], [0, at[1]], "-", color=colour, lw=1)
        sphere.plot(*at, marker, color=colour)
        sphere.annotate(label, at, xytext=(-7 if label == "$x$" else 7, 6), textcoords="offset points",
                        ha="right" if label == "$x$" else "left")  # fmt: skip
    sphere.set(aspect="equal", xlim=(-1.1, 1.45), ylim=(-1.1, 1.25), xticks=[], yticks=[])
    for ax, picture, title in zip(
        axes[1:], (image, moved, image + noise), (r"$x$", r"$\tau x$", r"$x+\eta$"), strict=True
    ):
        ax.imshow(picture.permute(1, 2, 0).clamp(0, 1).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set(title=title)
        ax.axis("off")
    sphere.grid(False)
    for spine in sphere.spines.values():
        spine.set_visible(False)
    return fig


def _seen(points: np.ndarray) -> np.ndarray:
    """Points [3, ...] as somebody sees them from a little above the plane of the first two axes: [2, ...]."""
    x, y, z = points
    turn, tilt = math.radians(-35), math.radians(20)
    across = math.cos(turn) * x - math.sin(turn) * y
    away = math.sin(turn) * x + math.cos(turn) * y
    return np.stack([across, math.cos(tilt) * z + math.sin(tilt) * away])


def on_sphere(
    image: Float[Tensor, "channel height width"],
    *,
    displacement: float | int = 1.0,
    cut: int = 3,
    seed: int = 0,
    count: int = 49,
) -> tuple[Tensor, Tensor, np.ndarray, np.ndarray]:
    """A deformed image, noise of its norm, and where bends lie on the sphere around the image, computed.

    The bends are those of τ_θ = cos θ τ_1 + sin θ τ_2, two draws mixed in every proportion, each rescaled until its
    image lies on the sphere. Their places are components along three orthonormal directions, the two in which the bends
    differ most and that of the noise, in units of the radius; a place inside of the sphere also points elsewhere.

    Returns:
        τ_1 x and η, [channel, n, n]; the bends [3, count]; the noise [3].
    """
    size, generator = image.shape[-1], torch.Generator().manual_seed(seed)
    temperature = diffeo.temperature(displacement, cut, size)
    draws = [diffeo.sample_coefficients(1, cut, generator=generator) for _ in range(2)]
    pair = diffeo.displacement_field(torch.cat(draws), temperature, size)
    moved = diffeo.warp(image[None], pair[:1])[0]
    radius = (moved - image).norm()
    noise = torch.randn(image.shape, generator=generator)
    noise *= radius / noise.norm()
    changes = []
    for angle in torch.linspace(0, 2 * math.pi, count):
        field = math.cos(angle) * pair[:1] + math.sin(angle) * pair[1:]
        for _ in range(4):  # the change grows nearly in proportion to the field
            change = diffeo.warp(image[None], field)[0] - image
            field = field * (radius / change.norm())
        changes.append(change.flatten() / radius)
    bends, direction = torch.stack(changes), noise.flatten() / radius
    main = torch.linalg.svd(bends - bends.mean(0), full_matrices=False)[2][:2]
    basis = torch.linalg.qr(torch.cat([main, direction[None]]).T)[0]
    basis = basis * (basis[:, 2] @ direction).sign()
    return moved, noise, (bends @ basis).T.numpy(), (direction @ basis).numpy()


@style.styled
def example(
    image: Float[Tensor, "channel height width"],
    *,
    displacement: float | int = 1.0,
    cut: int = 3,
    arrows: int = 16,
    seed: int = 0,
) -> Figure:
    """A Fig. 1, left: an image, the displacement field of one draw, and the deformed image. image: [channel, n, n]."""
    size = image.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    draw = diffeo.sample_coefficients(1, cut, generator=generator)
    field = diffeo.displacement_field(draw, diffeo.temperature(displacement, cut, size), size)
    moved = diffeo.warp(image[None], field)[0]
    step = max(1, size // arrows)
    at = torch.arange(step // 2, size, step)
    dx, dy = field[0][:, at][:, :, at].numpy()
    fig, axes = style.figure(1, 3, height=2.6)
    for ax, picture, title in zip(axes[::2], (image, moved), (r"image $x$", r"deformed image $\tau x$"), strict=True):
        ax.imshow(picture.permute(1, 2, 0).clamp(0, 1).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set(title=title)
        ax.axis("off")
    axes[1].spines[:].set_visible(True)
    axes[1].quiver(at.numpy(), at.numpy(), dx, -dy, color=style.BLUE, pivot="tail")
    axes[1].set(aspect="equal", xlim=(0, size - 1), ylim=(size - 1, 0), xticks=[], yticks=[],
                title=rf"field $\tau$, up to {field.norm(dim=1).max():.0f} px")  # fmt: skip
    axes[1].grid(False)
    return fig
