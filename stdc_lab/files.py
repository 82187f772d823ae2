"""Files, with care: written whole or not at all, through no symbolic link, and read up to a limit."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stdc_lab.errors import StdcLabError

MAX_JSON_BYTES = 32 * 2**20
LOCKS = Path("/proc/locks")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SHOWN = 40
Raises = Callable[[str], StdcLabError]
"""An error's class, or what makes one of the message."""


def write_text(path: Path, text: str, raises: Raises = StdcLabError) -> Path:
    """Write a text as UTF-8, line ends as they are; see `writing`. Gives the path."""
    return write_bytes(path, text.encode("utf-8"), raises)


def write_bytes(path: Path, content: bytes, raises: Raises = StdcLabError) -> Path:
    """Write a file's whole content; see `writing`. Gives the path."""
    with writing(path, raises) as partial, os.fdopen(open_regular(partial, os.O_WRONLY), "wb") as file:
        file.write(content)
    return path


@contextmanager
def writing(path: Path, raises: Raises = StdcLabError, ending: str = ".partial") -> Iterator[Path]:
    """Give an empty file beside `path` to write into; when the block ends well it takes that place, on the disk.

    Nobody sees half a file, and a block that fails leaves nothing. Only a regular file is replaced: a symbolic link,
    a directory, a pipe or a device at this place is refused, also where it leads to a regular file. Links among the
    parents are followed: where a folder lies is its owner's choice.

    raises: the error if it cannot be written, an `OSError` of the block included.
    ending: of the name meanwhile, for libraries that go by it.
    """
    partial: Path | None = None
    try:
        _check_regular(path)
        fresh = path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(4)}{ending}")
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666))
        partial = fresh
        yield partial
        descriptor = open_regular(partial, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
        partial = None
    except OSError as error:
        raise raises(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink()


def remove_leftovers(*paths: Path) -> None:
    """Remove what processes that were killed while they wrote these files have left beside them, journals included.

    For who holds the folder's lock: a file that another process is writing would go too.
    """
    starts = [start for path in paths for start in (f"{path.name}.partial", f".{path.name[:_SHOWN]}.")]
    for found in {file for folder in {path.parent for path in paths} for file in folder.glob("*.partial*")}:
        if found.name.startswith(tuple(starts)):
            with suppress(OSError):
                found.unlink()


def append_text(path: Path, text: str, raises: Raises = StdcLabError) -> None:
    """Write at the end of a regular file, made if it is not there."""
    try:
        with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise raises(f"{path}: cannot be written: {error.strerror or error}") from error


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file that no link stands for. Raises `OSError`, its reason in words."""
    _check_regular(path)
    descriptor = os.open(path, flags | _NO_LINK | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # put there in between
        os.close(descriptor)
        _check_regular(path)
        raise OSError(errno.EINVAL, "Is no regular file", str(path))
    return descriptor


def read_bytes(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """A file's content. Raises `OSError`, also for one of more than `limit` bytes."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"got more than {limit:,} bytes; allowed: at most that", str(path))
    return content


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `OSError`, and ValueError if it is none or nested beyond reading."""
    try:
        return json.loads(read_bytes(path))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def own_folder(path: Path) -> Path:
    """A folder for this user alone (mode 0700), made if it is not there; gives its path.

    Raises `OSError` if a link, another kind of file or another user's folder has that name.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise OSError(errno.EPERM, "Belongs to another user", str(path))
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


def lock_holders(descriptor: int) -> list[str]:
    """`process 4242: python train.py` of each other process that holds this file's lock, as far as Linux tells."""
    found, about = [], os.fstat(descriptor)
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    with suppress(OSError):
        for line in LOCKS.read_text(encoding="utf-8").splitlines():
            words = line.split()  # of who only waits there is one more, an arrow
            if len(words) == 8 and (words[1], words[5]) == ("FLOCK", place) and int(words[4]) not in (0, os.getpid()):
                found.append(_process(int(words[4])))
    return list(dict.fromkeys(found))


def _process(number: int) -> str:
    command = ""
    with suppress(OSError):
        words = Path(f"/proc/{number}/cmdline").read_bytes().decode("utf-8", "replace")
        command = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    shown = command if len(command) <= 100 else command[:99] + "…"
    return f"process {number}: {shown}" if shown else f"process {number}"


def _check_regular(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "a special file")
        raise OSError(errno.EINVAL, f"Is {what}; allowed: a regular file, or a name that is free", str(path))
