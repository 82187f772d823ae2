"""Images and labels decoded and resized once, then memory-mapped.

An entry is a folder named by a digest of everything that determines its content. It is filled under another name and
renamed when complete, so a folder with the right name is always whole, whoever was killed on the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

from stdc_lab.data.classes import Pixels
from stdc_lab.errors import DataError, StdcLabError
from stdc_lab.files import read_json, write_text

CACHE_VARIABLE = "STDC_LAB_CACHE"
_FORMAT_VERSION = 1


class Frame(NamedTuple):
    """One image with its labels, on its way into the cache."""

    name: str
    image: Pixels
    """H×W×3, RGB."""
    labels: Pixels
    """H×W."""


class Arrays(NamedTuple):
    """What the cache holds of one part of a data set, memory-mapped and read-only."""

    images: Pixels
    """N×H×W×3, RGB."""
    labels: Pixels
    """N×H×W."""
    names: tuple[str, ...]
    contents: str
    """What `contents_of` says of them."""


class Part(NamedTuple):
    """One part of a data set that may have to be built: how many frames, and where they come from."""

    length: int
    frames: Callable[[], Iterable[Frame]]
    """Called only if the entry has to be built; gives exactly `length` frames, one at a time."""
    may_skip: bool = False
    """Whether there may be fewer frames, at least one, than `length`."""


def cache_folder(cache: Path | None = None) -> Path:
    """`cache` if given, else the folder in STDC_LAB_CACHE, else the user's cache folder."""
    if cache is not None:
        return cache.expanduser()
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(named).expanduser() if named else Path(user_cache_dir("stdc_lab"))


def digest(content: Mapping[str, Any]) -> str:
    """20 hexadecimal digits that change with anything in `content` (whatever JSON can hold)."""
    text = json.dumps({"format": _FORMAT_VERSION, **content}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def contents_of(images: Iterable[Pixels], labels: Iterable[Pixels]) -> str:
    """20 hexadecimal digits of pixels, as decoded and resized, in their order: equal only where all of them are.

    Names and files do not count: a copy in another folder or another lossless format is the same.
    """
    hashed = hashlib.blake2b(digest_size=10)
    for image, label in zip(images, labels, strict=True):
        _add(hashed, image, label)
    return hashed.hexdigest()


def cached_parts(
    name: str,
    content: Mapping[str, Any],
    size: tuple[int, int],
    parts: Mapping[str, Part],
    cache: Path | None = None,
) -> dict[str, Arrays]:
    """The arrays of each part, built first if no entry for `content` exists; `size` is H×W.

    Raises DataError if the cache cannot be written or an entry cannot be read.
    """
    root = cache_folder(cache)
    entry = root / f"{name}-{digest(content)}"
    try:
        if not entry.is_dir():
            _build(entry, size, parts)
    except OSError as error:
        raise DataError(
            f"cache folder {root}: {error.strerror or error}; allowed: a writable folder with room for the decoded "
            f"images, named by the environment variable {CACHE_VARIABLE}"
        ) from error
    try:
        return {part: _open(entry, part) for part in parts}
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cache entry {entry} is damaged ({error}); remove this folder and it is built anew") from error


def _build(entry: Path, size: tuple[int, int], parts: Mapping[str, Part]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_name(entry.name + ".lock")):
        if entry.is_dir():  # another process built it while this one waited
            return
        for abandoned in entry.parent.glob(entry.name + ".building-*"):  # under the lock: whoever made it is dead
            shutil.rmtree(abandoned, ignore_errors=True)
        unfinished = entry.with_name(f"{entry.name}.building-{os.getpid()}")  # not mkdtemp: others may share a cache
        try:
            unfinished.mkdir()
            for part, source in parts.items():
                _write(unfinished, part, size, source)
            os.replace(unfinished, entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder: Path, part: str, size: tuple[int, int], source: Part) -> None:
    """Frame by frame and through plain writes: a full disk is then an OSError, and not the SIGBUS of a memory map."""
    names: list[str] = []
    hashed = hashlib.blake2b(digest_size=10)
    with (folder / f"{part}_images.npy").open("wb") as images, (folder / f"{part}_labels.npy").open("wb") as labels:
        for file, shape in ((images, (source.length, *size, 3)), (labels, (source.length, *size))):
            _write_header(file, shape)
        for frame in source.frames():
            if frame.image.shape != (*size, 3) or frame.labels.shape != size:
                raise AssertionError(f"{frame.name}: {frame.image.shape} and {frame.labels.shape}, expected {size}")
            images.write(np.ascontiguousarray(frame.image, np.uint8).data)
            labels.write(np.ascontiguousarray(frame.labels, np.uint8).data)
            _add(hashed, frame.image, frame.labels)
            names.append(frame.name)
        if source.may_skip and 0 < len(names) < source.length:
            # A header leaves room for any number of frames, so that another one fits its place.
            for file, shape in ((images, (len(names), *size, 3)), (labels, (len(names), *size))):
                file.seek(0)
                _write_header(file, shape)
        elif len(names) != source.length:
            raise AssertionError(f"{part}: {len(names)} frames, expected {source.length}")
    (folder / f"{part}_names.json").write_text(json.dumps(names), encoding="utf-8")
    (folder / f"{part}_contents.txt").write_text(hashed.hexdigest(), encoding="utf-8")


def _add(hashed: hashlib.blake2b, image: Pixels, labels: Pixels) -> None:
    hashed.update(repr(image.shape).encode())
    hashed.update(np.ascontiguousarray(image, np.uint8).data)
    hashed.update(np.ascontiguousarray(labels, np.uint8).data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _open(entry: Path, part: str) -> Arrays:
    images = np.load(entry / f"{part}_images.npy", mmap_mode="r")
    labels = np.load(entry / f"{part}_labels.npy", mmap_mode="r")
    names = tuple(read_json(entry / f"{part}_names.json"))
    if not len(images) == len(labels) == len(names):
        raise ValueError(f"{part}: {len(images)} images, {len(labels)} labels, {len(names)} names")
    return Arrays(images, labels, names, _contents(entry / f"{part}_contents.txt", images, labels))


def _contents(path: Path, images: Pixels, labels: Pixels) -> str:
    """As the entry says; of an entry from before it said so all pixels are read, once where that can be kept."""
    with suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    found = contents_of(images, labels)
    with suppress(StdcLabError):  # a cache that may only be read
        write_text(path, found)
    return found
