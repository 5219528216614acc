"""One unit of a study as text: its key, its file name, its rows, its checksum.

A *config* is a frozen dataclass with class attributes `study` and `version`, fields that JSON can hold (among
them `scale` and `seed`), `run(*, workspace, progress, device) -> rows` and `data_digest() -> str`. Its key is ::

    key = SHA-256 of (key format, study, study version, fields as sorted JSON, data digest),

so that a changed meaning (version, bumped by hand), a changed setting or changed data never find an old
number. A record is the JSON object {key, study, version, data, config, provenance, rows, checksum}, one row a
line. JSON has no NaN and no infinity: in rows they are written {"float": "nan"}, {"float": "inf"} and
{"float": "-inf"}, and read back as such (rows hold no other objects, so nothing else can be meant).

>>> from relstab.store import records
>>> records.thaw(records.freeze({"R": float("inf"), "layer": "conv1"}, "a row"))
{'R': inf, 'layer': 'conv1'}
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

KEY_FORMAT = 1
_SLUG_LENGTH = 72


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object, where: str) -> Any:
    """A config value as JSON; equal numbers become equal text (1.0 as 1): equal configs are one unit."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)
    if isinstance(value, list | tuple):
        return [_canonical(item, where) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: _canonical(item, where) for name, item in value.items()}
    raise TypeError(
        f"{where} is {value!r}; a config may hold None, bool, int, finite float, str, and lists or str-keyed "
        "dicts of these, so that its key can be computed"
    )


def fields(config: Any) -> dict:
    """The config's fields as canonical JSON values; TypeError when it is no config or one cannot be JSON."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config is {config!r}; it must be an instance of a study's frozen config dataclass")
    name = type(config).__name__
    for attribute, kind in (("study", str), ("version", int), ("scale", str)):
        if not isinstance(getattr(config, attribute, None), kind):
            raise TypeError(f"{name}.{attribute} is missing or no {kind.__name__}; every config must have one")
    if not re.fullmatch(r"[\w-]+", config.scale):  # it names a folder
        raise ValueError(f"{name}.scale is {config.scale!r}; it must be a word")
    return {
        field.name: _canonical(getattr(config, field.name), f"{name}.{field.name}")
        for field in dataclasses.fields(config)
    }


def settings_hash(config: Any) -> str:
    """Hash of everything in the key but the data: two configs with one are one unit."""
    settings = fields(config)  # first, since it says what is wrong with a config that is none
    return _digest([KEY_FORMAT, config.study, config.version, settings])


def key(config: Any) -> str:
    """The config's key, 64 hex digits; FileNotFoundError (from the config) when its data are not there."""
    settings = fields(config)
    return _digest([KEY_FORMAT, config.study, config.version, settings, config.data_digest()])


def slug(config: Any) -> str:
    """A readable name: the fields that differ from their defaults, e.g. 'vgg11_bn-cifar10-50000-seed1'."""
    words = []
    values = fields(config)
    for field in dataclasses.fields(config):
        value = values[field.name]
        if field.name == "scale" or (
            field.default is not dataclasses.MISSING and value == _canonical(field.default, field.name)
        ):
            continue
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, bool):
            words.append(field.name if value else f"no_{field.name}")
        elif isinstance(value, int | float):
            words.append(f"{field.name}{value}")
        elif isinstance(value, list):
            words.append(field.name + "_".join(map(str, value)))
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words))[:_SLUG_LENGTH].strip("._-")
    return text or "default"


def file_name(config: Any, unit_key: str) -> str:
    """`<scale>/<study>/<slug>-<first 12 digits of the key>.json`, in the store and when published."""
    return f"{config.scale}/{config.study}/{slug(config)}-{unit_key[:12]}.json"


def freeze(row: dict, where: str) -> dict:
    """A row as JSON: numpy and torch values become Python's, NaN and infinities the objects named above."""

    def plain(value):
        if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
            value = value.tolist()
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": str(float(value))}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        raise TypeError(f"{where} holds {value!r}; rows hold numbers, strings, None and lists of these")

    if not isinstance(row, dict) or not all(isinstance(name, str) for name in row):
        raise TypeError(f"{where} is {row!r}; it must be a dict from column names to values")
    return {name: plain(value) for name, value in row.items()}


def _each(change: Callable[[Any], Any], item: Any) -> Any:
    """The item of a row, changed; of a list each element."""
    return [_each(change, part) for part in item] if isinstance(item, list) else change(item)


def thaw(row: dict) -> dict:
    """A row as it was before `freeze`."""

    def change(item):
        return float(item["float"]) if isinstance(item, dict) else item

    return {name: _each(change, item) if isinstance(item, dict | list) else item for name, item in row.items()}


def rounded(row: dict, digits: int) -> dict:
    """A frozen row with its floats at `digits` significant digits.

    >>> rounded({"R": 0.123456789, "depth": 3}, 4)
    {'R': 0.1235, 'depth': 3}
    """

    def change(item):
        return float(f"{item:.{digits}g}") if isinstance(item, float) else item

    return {name: _each(change, item) for name, item in row.items()}


def build(config: Any, unit_key: str, rows: Iterable[dict], provenance: dict) -> dict:
    """The record of a unit that has run; ValueError when a row contradicts the config."""
    settings, frozen = fields(config), []
    for index, row in enumerate(rows):
        where = f"row {index} of study {config.study!r}"
        frozen.append(freeze(row, where))
        for name in settings.keys() & frozen[-1].keys():
            if settings[name] != frozen[-1][name]:
                raise ValueError(
                    f"{where} gives {name!r} the value {frozen[-1][name]!r}, but it is a field of the config "
                    f"with value {settings[name]!r}; name the column otherwise"
                )
    return {
        "key": unit_key,
        "study": config.study,
        "version": config.version,
        "data": config.data_digest(),
        "config": settings,
        "provenance": {"scale": config.scale, "seed": getattr(config, "seed", None), **provenance},
        "rows": frozen,
    }


def dumps(record: dict) -> bytes:
    """The record's text, checksum included: small, one row a line, stable in a diff."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items() if name != "rows"]
    rows = ",\n".join(json.dumps(row, allow_nan=False) for row in record["rows"])
    lines += [f'"rows": [\n{rows}\n]', f'"checksum": "{_digest(record)}"']
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def loads(data: bytes, unit_key: str | None = None) -> dict:
    """The record in a file's bytes; ValueError with the reason when it is damaged or another unit's."""
    try:
        record = json.loads(data.decode())
        checksum = record.pop("checksum", None) if isinstance(record, dict) else None
        actual = _digest(record)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not complete JSON ({error})") from None
    if checksum != actual:
        raise ValueError("its checksum does not match its content")
    if unit_key is not None and record.get("key") != unit_key:
        raise ValueError("it holds the result of another key")
    return record
