"""The cache: built once, whole or not at all, and shared by processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from stdc_lab.config.data import DataConfig
from stdc_lab.data import cache_folder, load_dataset, render_scene
from stdc_lab.data.cache import Frame, Part, cached_parts
from stdc_lab.errors import DataError
from tests.data.camvid_tree import TRAIN, write_camvid, write_png

SCENES = DataConfig(size=(32, 40), train_images=3, val_images=2)


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def load_and_tell(cache: str, start: float, told: multiprocessing.Queue) -> None:
    """For another process: waits for `start`, so that both begin at once, then tells how often it drew a scene."""
    drawn: list[int] = []
    config = DataConfig(size=(64, 80), train_images=12, val_images=2)
    time.sleep(max(0.0, start - time.time()))
    data = load_dataset(config, cache=Path(cache), progress=lambda what, done, total: drawn.append(done))
    told.put((len(drawn), int(data.train.images.sum()), int(data.val.labels.sum())))


def test_scenes_are_what_the_generator_draws(tmp_path):
    data = load_dataset(SCENES, cache=tmp_path)
    assert len(data.train) == 3 and len(data.val) == 2
    for index in range(3):
        image, labels = render_scene(0, index, 32, 40)
        assert np.array_equal(data.train.images[index], image)
        assert np.array_equal(data.train.labels[index], labels)
    shown = {image.tobytes() for split in (data.train, data.val) for image in split.images}
    assert len(shown) == 5  # validation shows no training scene
    assert len({*data.train.names, *data.val.names}) == 5


def test_arrays_are_memory_mapped_and_read_only(tmp_path):
    data = load_dataset(SCENES, cache=tmp_path)
    for array in (data.train.images, data.train.labels, data.val.images, data.val.labels):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_progress_counts_up_and_is_silent_when_warm(tmp_path):
    told: list[tuple[str, int, int]] = []
    load_dataset(SCENES, cache=tmp_path, progress=lambda *what: told.append(what))
    assert told == [("scenes train", n, 3) for n in (1, 2, 3)] + [("scenes val", n, 2) for n in (1, 2)]
    told.clear()
    load_dataset(SCENES, cache=tmp_path, progress=lambda *what: told.append(what))
    assert told == []


@pytest.mark.parametrize(
    "change", [{"size": (40, 32)}, {"train_images": 4}, {"val_images": 3}, {"seed": 1}], ids=lambda change: str(change)
)
def test_what_matters_to_scenes_makes_another_entry(tmp_path, change):
    load_dataset(SCENES, cache=tmp_path)
    load_dataset(SCENES.model_copy(update=change), cache=tmp_path)
    assert len(entries(tmp_path)) == 2


def test_more_training_scenes_leave_the_others_as_they_are(tmp_path):
    few = load_dataset(SCENES, cache=tmp_path)
    more = load_dataset(SCENES.model_copy(update={"train_images": 5}), cache=tmp_path)
    assert np.array_equal(few.train.images, more.train.images[:3])
    assert np.array_equal(few.val.images, more.val.images)


def test_a_changed_file_makes_another_entry(tmp_path):
    folder, cache = write_camvid(tmp_path / "camvid"), tmp_path / "cache"
    config = DataConfig(name="camvid", size=(48, 64))
    before = load_dataset(config, folder, cache)
    path = folder / "train" / f"{TRAIN[0]}.png"
    write_png(path, np.full((48, 64, 3), 77, np.uint8))
    assert load_dataset(config, folder, cache).train.images[0, 0, 0, 0] == 77 != before.train.images[0, 0, 0, 0]
    os.utime(path, (1, 1))
    load_dataset(config, folder, cache)
    assert len(entries(cache)) == 3


def test_a_moved_folder_needs_no_new_entry(tmp_path):
    folder, cache = write_camvid(tmp_path / "camvid"), tmp_path / "cache"
    config = DataConfig(name="camvid", size=(48, 64))
    load_dataset(config, folder, cache)
    load_dataset(config, folder.rename(tmp_path / "elsewhere"), cache)
    assert len(entries(cache)) == 1


def test_splits_share_no_entry(tmp_path):
    folder, cache = write_camvid(tmp_path / "camvid"), tmp_path / "cache"
    for held_out in ("0006R0", "0016E5"):
        config = DataConfig(name="camvid", size=(48, 64), split="drive", held_out=held_out)
        assert all(name.startswith(held_out) for name in load_dataset(config, folder, cache).val.names)
    load_dataset(DataConfig(name="camvid", size=(48, 64)), folder, cache)
    assert len(entries(cache)) == 3


def test_two_processes_build_an_entry_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    start = time.time() + 2.0
    workers = [context.Process(target=load_and_tell, args=(str(tmp_path), start, told)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [told.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(drawn for drawn, *_ in answers) == [0, 14]
    assert answers[0][1:] == answers[1][1:]
    assert len(entries(tmp_path)) == 1


def test_a_killed_build_leaves_nothing_that_counts_as_complete(tmp_path):
    code = (
        "import os; from pathlib import Path; from stdc_lab.config.data import DataConfig;"
        "from stdc_lab.data import load_dataset;"
        "load_dataset(DataConfig(size=(32, 40), train_images=3, val_images=2), cache=Path(os.environ['HERE']),"
        "progress=lambda what, done, total: os._exit(9) if done == 2 else None)"
    )
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "HERE": str(tmp_path)}, check=False)
    assert killed.returncode == 9
    (left,) = entries(tmp_path)
    assert ".building-" in left
    data = load_dataset(SCENES, cache=tmp_path)
    assert np.array_equal(data.train.images[2], render_scene(0, 2, 32, 40)[0])
    assert [name for name in entries(tmp_path) if ".building-" in name] == []


def test_a_failed_build_leaves_nothing(tmp_path):
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(SCENES, cache=tmp_path, progress=stop)
    assert entries(tmp_path) == []


def test_a_warm_entry_needs_no_lock(tmp_path):
    """Another process may be building something for minutes; and the cache may be read-only by now."""
    load_dataset(SCENES, cache=tmp_path)
    (entry,) = entries(tmp_path)
    with FileLock(tmp_path / f"{entry}.lock"):
        started = time.perf_counter()
        load_dataset(SCENES, cache=tmp_path)
        assert time.perf_counter() - started < 0.5


def test_an_unwritable_cache_says_which_and_how_to_name_another(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/cache: .*writable folder.*STDC_LAB_CACHE"):
        load_dataset(SCENES, cache=tmp_path / "file" / "cache")


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stdc_lab.data.cache.os.replace", full)
    with pytest.raises(DataError, match=r"No space left on device; allowed: .*STDC_LAB_CACHE"):
        load_dataset(SCENES, cache=tmp_path)
    assert entries(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_writing_is_an_error_and_no_crash(tmp_path, monkeypatch):
    """Really out of space, from the operating system: a memory map would end in SIGBUS."""
    opened = Path.open

    def onto_full_disk(self: Path, mode: str = "r", *rest, **options):
        return opened(Path("/dev/full") if self.name.endswith(".npy") else self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", onto_full_disk)
    with pytest.raises(DataError, match=r"(?i)no space left on device"):
        load_dataset(SCENES, cache=tmp_path)
    assert entries(tmp_path) == []


@pytest.mark.parametrize("file", ["train_images.npy", "val_labels.npy", "val_names.json"])
def test_a_damaged_entry_is_named(tmp_path, file):
    load_dataset(SCENES, cache=tmp_path)
    (entry,) = entries(tmp_path)
    for damage in (lambda path: path.write_bytes(b"["), lambda path: path.write_bytes(b""), lambda path: path.unlink()):
        damage(tmp_path / entry / file)
        with pytest.raises(DataError, match=rf"cache entry .*{entry} is damaged .*remove this folder"):
            load_dataset(SCENES, cache=tmp_path)


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("STDC_LAB_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    load_dataset(SCENES)
    assert len(entries(tmp_path / "named")) == 1
    monkeypatch.delenv("STDC_LAB_CACHE")
    assert cache_folder().name == "stdc_lab"


def test_a_source_that_breaks_its_promise_is_a_bug_and_not_data(tmp_path):
    image, labels = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    for frames in ([Frame("a", image, labels)], [Frame("a", image, labels), Frame("b", image[:3], labels[:3])]):
        with pytest.raises(AssertionError, match="expected"):
            cached_parts("x", {}, (4, 5), {"train": Part(2, lambda frames=frames: frames)}, tmp_path)
    assert entries(tmp_path) == []


def test_a_warm_load_is_quick(tmp_path):
    folder, cache = write_camvid(tmp_path / "camvid"), tmp_path / "cache"
    config = DataConfig(name="camvid", size=(48, 64))
    load_dataset(config, folder, cache)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        load_dataset(config, folder, cache)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05
