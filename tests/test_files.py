import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stdc_lab import files
from stdc_lab.errors import ConfigError, StdcLabError, StudyError
from stdc_lab.files import (
    append_text,
    lock_holders,
    open_regular,
    own_folder,
    read_bytes,
    read_json,
    remove_leftovers,
    write_bytes,
    write_text,
    writing,
)
from stdc_lab.machine import machine_lock
from tests.permissions import read_only


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fails_with(number: int) -> Callable[..., Any]:
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_is_written_replaced_and_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "größe.csv"
    before = os.umask(0o027)
    try:
        assert write_text(path, "ä\r\nb\n") == path
    finally:
        os.umask(before)
    assert path.read_bytes() == "ä\r\nb\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["größe.csv"]


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("ö" * 127)
    write_text(path, "a")
    assert path.read_text() == "a"


def test_until_the_block_ends_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("old")
    with writing(path, ending=".partial.mp4") as partial:
        assert partial.parent == tmp_path and partial.name.endswith(".partial.mp4")
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error):
            break_off(path, error)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["film.mp4"]


def break_off(path: Path, error: type[BaseException]) -> None:
    with writing(path) as partial:
        partial.write_text("half")
        raise error


def make_link(path: Path) -> None:
    path.symlink_to("target")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may not be long
        try:
            end.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make_link, "a symbolic link"),
        (make_dangling_link, "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (Path.mkdir, "a directory"),
        (make_socket, "a socket"),
    ],
)
def test_only_regular_files_are_replaced(tmp_path: Path, make: Callable[[Path], None], what: str) -> None:
    (tmp_path / "target").write_text("mine")
    path = tmp_path / "out"
    make(path)
    before = names(tmp_path), path.lstat()
    message = rf"^--out: .*/out: cannot be written: Is {what}; allowed: a regular file, or a name that is free$"
    for write in (write_text, append_text):
        with pytest.raises(StdcLabError, match=message.replace("--out: ", "")):
            write(path, "x")
    with pytest.raises(ConfigError, match=message):
        write_text(path, "x", lambda said: ConfigError(f"--out: {said}"))
    assert (names(tmp_path), path.lstat()) == before
    assert (tmp_path / "target").read_text() == "mine"


def test_a_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    write_text(tmp_path / "runs" / "a", "a")
    assert (tmp_path / "disk" / "a").read_text() == "a"


def test_a_link_that_comes_in_between_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    with writing(tmp_path / "out") as partial:
        partial.write_text("x")
        (tmp_path / "out").symlink_to("target")
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "target").read_text() == "mine"


def test_a_link_at_the_partial_files_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "guessed")
    (tmp_path / "target").write_text("mine")
    (tmp_path / ".out.guessed.partial").symlink_to("target")
    with pytest.raises(StdcLabError, match="out: cannot be written: File exists"):
        write_text(tmp_path / "out", "x")
    assert names(tmp_path) == [".out.guessed.partial", "target"]
    assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize(("where", "number"), [("fsync", 28), ("replace", 5), ("fdopen", 28)])
def test_a_full_disk_leaves_the_old_file_and_no_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fails_with(number))
        with pytest.raises(StudyError, match=rf"^{path}: cannot be written: {os.strerror(number)}$"):
            write_text(path, "new", StudyError)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_folder_that_is_read_only_or_not_there(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(StdcLabError, match=r"/a: cannot be written: Permission denied$"):
        write_text(tmp_path / "a", "x")
    with pytest.raises(StdcLabError, match=r"/b/a: cannot be written: No such file or directory$"):
        write_text(tmp_path / "b" / "a", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StdcLabError, match=r"/file/a: cannot be written: Not a directory$"):
        write_text(tmp_path / "file" / "a", "x")
    assert names(tmp_path) == ["file"]


def test_what_a_kill_left_beside_a_file_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["study.db", "mine.partial", ".other.db.12345678.partial", "study.db-journal"]
    for name in (*kept, "study.db.partial", "study.db.partial-journal", ".study.db.12345678.partial"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path / "study.db")
    assert names(tmp_path) == sorted(kept)


def test_reading_ends_at_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_bytes(path, 6) == b"[1, 2]" and read_json(path) == [1, 2]
    with pytest.raises(OSError, match="got more than 5 bytes; allowed: at most that"):
        read_bytes(path, 5)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine"
    assert own_folder(path) == path
    path.chmod(0o777)
    own_folder(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to("mine")
    for name in ("link", "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            own_folder(tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(OSError, match="Belongs to another user"):
        own_folder(path)


def test_without_a_name_for_it_the_machines_lock_lies_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STDC_LAB_LOCK")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"stdc_lab-{os.geteuid()}"
    with machine_lock(alone=True) as held:
        assert held and names(folder) == ["lock", "lock.gate"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("lock", "lock.gate"):
        (folder / name).unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StdcLabError, match=r"lock cannot be opened .* STDC_LAB_LOCK"), machine_lock(alone=True):
        pass
    assert names(tmp_path) == [folder.name]


def test_a_lock_is_not_opened_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STDC_LAB_LOCK", str(tmp_path / "lock"))
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(StdcLabError, match=r"\(Is a symbolic link; .* STDC_LAB_LOCK"), machine_lock(alone=True):
        pass
    assert names(tmp_path) == ["lock"]


def test_who_holds_a_lock_is_read_off_the_systems_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = open_regular(tmp_path / "lock", os.O_RDONLY | os.O_CREAT)
    about = os.fstat(descriptor)
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    monkeypatch.setattr(files, "LOCKS", tmp_path / "locks")
    assert lock_holders(descriptor) == []
    (tmp_path / "locks").write_text(
        f"1: POSIX  ADVISORY  WRITE 4 {place} 0 EOF\n2: FLOCK  ADVISORY  READ 4194305 {place} 0 EOF\n"
        f"2: -> FLOCK  ADVISORY  WRITE 5 {place} 0 EOF\n3: FLOCK  ADVISORY  WRITE {os.getpid()} {place} 0 EOF\n"
        f"4: FLOCK  ADVISORY  WRITE 6 {place}1 0 EOF\n5: FLOCK  ADVISORY  READ 1 {place} 0 EOF\n"
    )
    held = lock_holders(descriptor)
    os.close(descriptor)
    assert held[0] == "process 4194305" and held[1].startswith("process 1: ") and len(held) == 2
