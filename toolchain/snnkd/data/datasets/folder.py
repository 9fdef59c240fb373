"""Reader of image folders: train/<class>/*.jpg (png, ...) and test/<class>/*, decoded by pillow."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base import packages, recognition
from snnkd.base.errors import DataError
from snnkd.data.datasets.splits import Contents, Split

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
_CHUNK = 512


def missing(folder: Path) -> str | None:
    """Says what `folder` lacks to be an image folder, None where it is one."""
    for part in ("train", "test"):
        if not (folder / part).is_dir():
            return f"no folder {part}/ with one folder of images for each class"
    return None


def read(folder: Path) -> Contents:
    """Reads both splits, classes and files in sorted order. Images have one channel where all are grey, else three.

    Raises DataError that names the first file that cannot be decoded or has another size than the first image,
    LimitError where pillow is missing.
    """
    packages.require(f"{folder}: an image folder", "PIL")
    train, test = (_listing(folder / part) for part in ("train", "test"))
    classes = tuple(train)
    for name in test:
        if name not in train:
            raise DataError(f"{folder / 'test' / name}: no such class in {folder / 'train'}")
    files = [
        [(path, index) for index, name in enumerate(classes) for path in part.get(name, ())] for part in (train, test)
    ]
    images = _decode([path for part in files for path, _ in part])
    labels = np.array([index for part in files for _, index in part], dtype=np.int64)
    count = len(files[0])
    return Contents(classes, Split(images[:count], labels[:count]), Split(images[count:], labels[count:]))


def _listing(folder: Path) -> dict[str, list[Path]]:
    """Image files by class, both sorted; other and hidden files are none of ours."""
    files = {}
    for entry in _visible(folder):
        if entry.is_dir():
            files[entry.name] = [file for file in _visible(entry) if file.suffix.lower() in SUFFIXES]
            if not files[entry.name]:
                raise DataError(f"{entry}: no image in it; expected files that end in {', '.join(sorted(SUFFIXES))}")
    if not files:
        raise DataError(f"{folder}: no class in it; expected one folder of images for each class")
    return files


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


def _decode(paths: list[Path]) -> np.ndarray:
    """Images uint8 (N, C, H, W)."""
    size = decoded(paths[0]).shape[:2]

    def chunk(start: int) -> np.ndarray:
        return _stack(paths[start : start + _CHUNK], size, paths[0])

    # Threads are enough: pillow releases the interpreter lock while it decodes.
    chunks = _map(chunk, range(0, len(paths), _CHUNK))
    channels = max(part.shape[1] for part in chunks)
    images = np.empty((len(paths), channels, *size), dtype=np.uint8)
    for start, part in zip(range(0, len(paths), _CHUNK), chunks, strict=True):
        images[start : start + len(part)] = part  # a grey chunk among coloured ones is repeated
    return images


def _stack(paths: list[Path], size: tuple[int, ...], first: Path) -> np.ndarray:
    """uint8 (n, C, H, W), with C = 1 where all of them are grey."""
    images = []
    for path in paths:
        image = decoded(path)
        if image.shape[:2] != size:
            height, width = image.shape[:2]
            raise DataError(
                f"{path}: {width}x{height} pixels, expected {size[1]}x{size[0]} as in {first}: resize all images alike"
            )
        images.append(image)
    if any(image.ndim == 3 for image in images):
        colour = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
        return np.stack(colour).transpose(0, 3, 1, 2)
    return np.stack(images)[:, None]


def decoded(path: Path) -> np.ndarray:
    """Reads a picture: uint8 (H, W) of a grey one, (H, W, 3) of any other. Raises DataError that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in _GREY | _COLOUR:
                raise DataError(f"{path}: pixels of type '{image.mode}': expected 8 bits per channel, grey or RGB")
            return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))
    except DataError:
        raise
    except Exception as error:  # pillow's decoders raise nearly anything on damaged files
        what = recognition.sentence(path, "picture") or f"cannot be decoded as an image: {error}"
        raise DataError(f"{path}: {what}") from error


def _map(function: Callable[[int], Any], items: range) -> list[Any]:
    """function(item) of each item, in order, on all cores; the first error in that order ends it at once."""
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
