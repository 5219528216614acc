r"""Maximum-entropy diffeomorphisms as a data augmentation: a torchvision v2 transform (paper B Sec. 2).

It moves images, and with the same field the masks, boxes and key points that come with them.

>>> import torch
>>> from relstab.diffeo import Diffeo
>>> from relstab.vision import tv_tensors, v2
>>> augment = v2.Compose([Diffeo(displacement=(0.5, 2.0), cut=(2, 5), seed=0), v2.RandomHorizontalFlip()])
>>> image = tv_tensors.Image(torch.rand(3, 32, 32))
>>> boxes = tv_tensors.BoundingBoxes([[4, 4, 20, 28.0]], format="XYXY", canvas_size=(32, 32))
>>> image, boxes = augment(image, boxes)
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from torch.utils.data import get_worker_info

from relstab.diffeo import ensemble, fields
from relstab.vision import tv_tensors, v2

_PIL_MODES = ("L", "RGB", "RGBA")
_BOX_FORMATS = ("XYXY", "XYWH", "CXCYWH")
_EDGE_POINTS = 33  # points per edge of a box; the shortest wave at cut 15 spans 4 of them on a full-width box
_KEY_POINTS = getattr(tv_tensors, "KeyPoints", ())  # torchvision 0.23 and later


class Diffeo(v2.Transform):
    """Deform images by random diffeomorphisms, one per image of a batch.

    Args:
        displacement: nominal δ in pixels, or (low, high), uniform and of its own for every image; 0 leaves inputs
            as they are. Above `diffeo.temperature_range` fields fold: check a setting with `diffeo.is_bijective`.
        cut: cut-off c, or (low, high), integers drawn uniformly, both included.
        interpolation: "bilinear", "gaussian" (a blur even at displacement 0) or "nearest", as in `diffeo.warp`.
        p: the probability that an image is deformed at all, drawn for each image of a batch; the others stay as
            they are ("gaussian": blurred). p and 1 - p of the images have the same fields as with p = 1.
        seed: an integer for a reproducible sequence, None for a random one; the global random state is neither
            read nor changed. In a DataLoader each worker and epoch has its own sequence, derived from the
            loader's seed.

    Raises:
        ValueError: for parameters out of range; when called, for other tensor classes (Video), rotated boxes,
            integer images that are not uint8, inputs of different sizes, or boxes in a field that folds over
            them.

    Moves: plain tensors and `Image` [channel, height, width] or [batch, channel, height, width], floating or
    uint8 (rounded); PIL images of mode L, RGB, RGBA; `Mask` (nearest pixel); `BoundingBoxes` (the smallest
    box around the moved edges); `KeyPoints`. With a batch of images, the first axis of masks, boxes (one per
    image) and points is the batch. The first b images of a batch get the same fields whatever its size.

    >>> image = torch.rand(3, 32, 32)
    >>> torch.equal(Diffeo(seed=0)(image), Diffeo(seed=0)(image)), torch.equal(Diffeo(displacement=0)(image), image)
    (True, True)
    """

    def __init__(self, displacement: float | int | Sequence[float | int] = 1.0, cut: int | Sequence[int] = 3, *,
                 p: float | int = 1.0, interpolation: Literal["bilinear", "gaussian", "nearest"] = "bilinear",
                 seed: int | None = None):  # fmt: skip
        super().__init__()
        self.displacement = _interval("displacement", displacement)
        self.cut = _interval("cut", cut)
        if self.displacement[0] < 0:
            raise ValueError(f"displacement is {displacement}; it must be 0 pixels or more")
        for bound in self.cut:
            ensemble.check_cut(bound, drawn=True)
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"p is {p!r}; it must be a probability, from 0 to 1")
        self.p = p
        if interpolation not in fields.INTERPOLATIONS:
            raise ValueError(
                f"interpolation is {interpolation!r}; it must be one of {', '.join(fields.INTERPOLATIONS)}"
            )
        self.interpolation = interpolation
        if seed is not None and not isinstance(seed, int):
            raise ValueError(f"seed is {seed!r}; it must be an integer or None")
        self.seed = seed
        self._worker = self._streams = None

    def __getstate__(self) -> dict[str, Any]:
        """The streams go as bytes: generators in what a DataLoader sends to spawned workers end them."""
        streams = self._streams and [stream.get_state().numpy().tobytes() for stream in self._streams]
        return self.__dict__ | {"_streams": streams}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if state["_streams"]:
            states = [torch.frombuffer(bytearray(stream), dtype=torch.uint8) for stream in state["_streams"]]
            self._streams = tuple(torch.Generator().set_state(stream) for stream in states)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw one field per image: {"field": [batch, 2, height, width]}, pixels."""
        if not flat_inputs:
            raise ValueError(
                "Diffeo was given no image; it deforms tensors [channel, height, width], tv_tensors and PIL "
                "images, and "
                "a NumPy array [height, width, channel] after torch.from_numpy(array).permute(2, 0, 1)"
            )
        tensors = [entry for entry in flat_inputs if isinstance(entry, torch.Tensor)]
        for entry in tensors:
            if isinstance(entry, tv_tensors.Video):
                raise ValueError("Diffeo cannot deform a Video; give its frames as a batch of images")
            if _is_image(entry) and entry.ndim not in (3, 4):
                raise ValueError(f"image has shape {list(entry.shape)}; [channel, height, width] is needed, or a batch")
        sizes = {tuple(v2.functional.get_size(entry)) for entry in flat_inputs}
        if len(sizes) != 1:
            raise ValueError(f"inputs have the sizes {sorted(sizes)}; one call moves inputs of one (height, width)")
        batches = {len(entry) for entry in tensors if _is_image(entry) and entry.ndim == 4} or {1}
        if len(batches) != 1:
            raise ValueError(f"image batches have the lengths {sorted(batches)}; they must agree")
        coefficients, temperature = self._draw(*batches, *sizes)
        double = any(entry.dtype == torch.float64 for entry in tensors)
        coefficients = coefficients.to(
            tensors[0].device if tensors else "cpu", torch.float64 if double else torch.float32
        )
        return {"field": ensemble.displacement_field(coefficients, temperature, *sizes)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move one input by the fields of `make_params`."""
        if self.displacement == (0, 0) and not (self.interpolation == "gaussian" and _is_image(inpt)):
            return inpt
        field = params["field"]
        if not isinstance(inpt, torch.Tensor):
            if inpt.mode not in _PIL_MODES:
                raise ValueError(f"PIL image has mode {inpt.mode}; convert it to one of {', '.join(_PIL_MODES)} first")
            moved = self._move_image(v2.functional.pil_to_tensor(inpt), field)
            return v2.functional.to_pil_image(moved, mode=inpt.mode)
        values = inpt.as_subclass(torch.Tensor)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            moved = _move_boxes(values, field, inpt.format)  # pyright: ignore[reportAttributeAccessIssue]
        elif isinstance(inpt, _KEY_POINTS):
            moved = _per_image(fields.move_points, values, field, trailing=1)
        elif isinstance(inpt, tv_tensors.Mask):
            moved = _per_image(lambda masks, tau: fields.warp(masks, tau, "nearest"), values, field, trailing=2)
        else:
            moved = self._move_image(values, field)
        return tv_tensors.wrap(moved, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else moved

    def _move_image(self, image: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        rounded = image.dtype == torch.uint8 and self.interpolation != "nearest"
        values = image.float() if rounded else image
        moved = _per_image(lambda images, tau: fields.warp(images, tau, self.interpolation), values, field, trailing=2)
        return moved.round().to(image.dtype) if rounded else moved

    def _draw(self, batch: int, size: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shapes, amplitudes, coins = self._generators()
        low, high = self.cut
        coefficients = ensemble.sample_coefficients(batch, high, generator=shapes)
        uniform = torch.rand(batch, 2, generator=amplitudes)
        cuts = low + (uniform[:, 0] * (high - low + 1)).long()
        modes, unit = torch.zeros(high + 1, 1, high, high), torch.zeros(high + 1)
        for cut in range(low, high + 1):
            modes[cut, :, :cut, :cut] = ensemble.kept_modes(cut)
            unit[cut] = ensemble.temperature(1.0, cut, size)
        low, high = self.displacement
        displacement = low + (high - low) * uniform[:, 1]
        kept = torch.rand(batch, generator=coins) < self.p
        return coefficients * modes[cuts], unit[cuts] * displacement**2 * kept

    def _generators(self) -> tuple[torch.Generator, ...]:
        """CPU streams of shapes, amplitudes and coins: each is used strictly in the order of the images."""
        worker = get_worker_info()
        key = None if worker is None else worker.seed  # differs between workers and, in a new epoch, changes
        if self._streams is None or key != self._worker:
            self._worker, self._streams = key, tuple(torch.Generator() for _ in range(3))
            first = self._streams[0].seed() if self.seed is None else self.seed + (key or 0)
            for offset, stream in enumerate(self._streams):
                stream.manual_seed((first + offset * 2**32) % 2**63)
        return self._streams


def _interval(name: str, value: Any) -> tuple[Any, Any]:
    pair = isinstance(value, tuple | list) and len(value) == 2
    low, high = cast(Any, value if pair else (value, value))
    try:
        ordered = low <= high < float("inf")
    except TypeError:
        ordered = False
    if not ordered:
        raise ValueError(f"{name} is {value!r}; it must be a number or (low, high) with low <= high")
    return low, high


def _is_image(entry: object) -> bool:
    return isinstance(entry, tv_tensors.Image) or not isinstance(entry, tv_tensors.TVTensor)


def _per_image(move: Callable, values: torch.Tensor, field: torch.Tensor, *, trailing: int) -> torch.Tensor:
    """Apply `move` to values [batch, ..., trailing axes]; a single field moves all leading axes alike."""
    batch = len(field)
    if batch > 1 and (values.ndim <= trailing or len(values) != batch):
        raise ValueError(
            f"input of shape {list(values.shape)} comes with {batch} images; its first axis must be as long"
        )
    if values.numel() == 0:
        return values
    stacked = values.reshape(batch, -1, *values.shape[-trailing:])
    return move(stacked, field.to(values.device)).reshape(values.shape)


def _move_boxes(boxes: torch.Tensor, field: torch.Tensor, box_format: Any) -> torch.Tensor:
    if box_format.value not in _BOX_FORMATS:
        raise ValueError(
            f"boxes have format {box_format.value}; Diffeo moves {', '.join(_BOX_FORMATS)}, no rotated boxes"
        )
    convert = v2.functional.convert_bounding_box_format
    corners = convert(boxes, old_format=box_format, new_format=tv_tensors.BoundingBoxFormat.XYXY)
    floats = corners.to(torch.promote_types(boxes.dtype, torch.float32))
    moved = _per_image(_move_corners, floats, field, trailing=1)
    if not boxes.is_floating_point():
        moved = moved.round().to(boxes.dtype)
    return convert(moved, old_format=tv_tensors.BoundingBoxFormat.XYXY, new_format=box_format)


def _move_corners(corners: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Boxes [batch, box, (left, top, right, bottom)] around the moved edges of the given ones."""
    along = torch.linspace(0, 1, _EDGE_POINTS, dtype=corners.dtype, device=corners.device)
    left, top, right, bottom = corners[..., None].unbind(-2)
    x, y = left + (right - left) * along, top + (bottom - top) * along
    constant = torch.ones_like(along)
    edges = torch.stack([torch.cat((x, x, left * constant, right * constant), -1),
                         torch.cat((top * constant, bottom * constant, y, y), -1)], -1)  # fmt: skip
    # Boxes count from the corner of the top left pixel, whose centre is (½, ½) there and (0, 0) in a field.
    points = fields.move_points((edges - 0.5).flatten(1, 2), field).reshape(edges.shape) + 0.5
    return torch.cat((points.amin(-2), points.amax(-2)), -1)
