"""`stdc-lab data`: what is printed and written, exit status 2 with the list, and the picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stdc_lab.cli.preview import detail_panels, label_palette, preview_rows
from stdc_lab.config.data import DataConfig
from stdc_lab.data import CLASS_COLOURS, IGNORE_LABEL
from stdc_lab.data.sample import draw_samples
from stdc_lab.errors import DataError
from tests.cli.in_process import stdc_lab
from tests.data.camvid_tree import write_camvid
from tests.data.trees import COLOURS, HEIGHT, WIDTH, photo, stripes, truncate, write_cityscapes, write_own, write_rgb


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


class TestCheck:
    def test_a_clean_folder(self, own, tmp_path):
        done = stdc_lab("data", "check", "folder", "--data", f"folder={own}", "--json", tmp_path / "found.json")
        assert done.returncode == 0 and done.stderr == ""
        assert "clean: nothing is wrong" in done.stdout and f"{HEIGHT}x{WIDTH} (3)" in done.stdout
        found = json.loads((tmp_path / "found.json").read_text())
        assert found["dataset"] == "folder" and found["problems"] == []
        shares = {item["name"]: item["share"] for item in found["classes"]}
        counts = np.bincount(stripes(3).ravel()) / stripes(3).size
        assert shares == pytest.approx({"ground": counts[0], "car": counts[1], "sky": counts[2]})
        assert found["classes"][2]["images"] == {"train": 3, "val": 2}
        assert found["parts"]["val"] == {"images": 2, "sizes": {f"{HEIGHT}x{WIDTH}": 2}, "labelled_share": 1.0}

    def test_everything_wrong_is_printed_and_the_status_is_2(self, own, tmp_path):
        truncate(own / "images" / "train" / "a.png")
        (own / "masks" / "val" / "d.png").unlink()
        write_rgb(own / "masks" / "val" / "e.png", np.full((HEIGHT, WIDTH), 9, np.uint8))
        done = stdc_lab("data", "check", "folder", "--data", f"folder={own}", "--json", tmp_path / "found.json")
        assert done.returncode == 2 and done.stderr == ""
        assert "3 things are wrong:" in done.stdout
        for file, cause in (
            ("images/train/a.png", "bytes that are no image"),
            ("images/val/d.png", "got no mask"),
            ("masks/val/e.png", "got label id 9; allowed: ids 0 to 2"),
        ):
            (line,) = [line for line in done.stdout.splitlines() if f"{own / file}: " in line]
            assert cause in line
        found = json.loads((tmp_path / "found.json").read_text())
        assert [problem["kind"] for problem in found["problems"]] == ["pair", "file", "labels"]

    def test_json_to_stdout_is_nothing_but_json(self, own):
        done = stdc_lab("data", "check", "folder", "--data", f"folder={own}", "--json", "-")
        assert json.loads(done.stdout)["layout"].startswith("images and masks")
        assert "clean: nothing is wrong" in done.stderr

    def test_cityscapes(self, tmp_path):
        folder = write_cityscapes(tmp_path / "cityscapes")
        done = stdc_lab("data", "check", "cityscapes", "--data", f"cityscapes={folder}")
        assert done.returncode == 0 and "traffic light" in done.stdout and "clean" in done.stdout

    def test_camvid_by_drive(self, tmp_path):
        folder = write_camvid(tmp_path / "camvid")
        options = ("--split", "drive", "--held-out", "0016E5", "--json", tmp_path / "found.json")
        done = stdc_lab("data", "check", "camvid", "--data", f"camvid={folder}", *options)
        assert "split: 0016E5 held out" in done.stdout
        found = json.loads((tmp_path / "found.json").read_text())
        assert {name: part["images"] for name, part in found["parts"].items()} == {"train": 4, "val": 2}
        assert done.returncode == 2  # nine of the eleven classes never occur there
        assert {problem["kind"] for problem in found["problems"]} == {"class"} and len(found["problems"]) == 9

    def test_scenes_need_no_folder(self, monkeypatch):
        monkeypatch.setattr("stdc_lab.data.scenes._counts", lambda config: {"train": (0, 12), "val": (90, 3)})
        done = stdc_lab("data", "check", "scenes")
        assert done.returncode == 0 and "96x128 (12)" in done.stdout
        done = stdc_lab("data", "check", "scenes", "--data", "scenes=.")
        assert done.returncode == 2 and "scenes are made here and take no folder" in done.stderr

    def test_class_names_are_text_and_no_markup(self, own):
        text = (own / "classes.yaml").read_text().replace("name: sky", 'name: "[red]$x$<b>"')
        (own / "classes.yaml").write_text(text)
        done = stdc_lab("data", "check", "folder", "--data", f"folder={own}")
        assert "[red]$x$<b>" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["ade20k"], "NAME: got 'ade20k'; allowed: 'scenes', 'camvid', 'cityscapes' or 'folder'"),
            (["camvid"], "camvid: no folder was given; say where it is with --data camvid=PATH"),
            (["camvid", "--data", "folder=."], "--data: got 'folder'; allowed: camvid, the data set that is asked for"),
            (["camvid", "--data", "camvid=nowhere"], "camvid: nowhere is no folder"),
            (["camvid", "--split", "half"], "--split: got 'half'; allowed: 'usual' or 'drive'"),
            (["camvid", "--split", "drive", "--held-out", "0"], "--held-out: got '0'; allowed: '0001TP', '0006R0', "),
            (["cityscapes", "--split", "drive"], "split (drive) says nothing of cityscapes"),
        ],
    )
    def test_a_mistake_is_one_message_and_status_2(self, arguments, message, tmp_path):
        done = stdc_lab("data", "check", *arguments, cwd=tmp_path)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: ") and message in done.stderr

    def test_help_has_an_example(self):
        for command in ("check", "preview"):
            done = stdc_lab("data", command, "--help")
            assert done.returncode == 0 and f"Example: stdc-lab data {command}" in done.stdout


class TestPreview:
    def test_a_picture_of_a_folder(self, own, tmp_path):
        text = (own / "classes.yaml").read_text().replace("name: sky", r'name: "$\\frac{"')
        (own / "classes.yaml").write_text(text)
        out = tmp_path / "preview.png"
        options = ("--size", "48x64", "--count", "2", "--out", out)
        done = stdc_lab("data", "preview", "folder", "--data", f"folder={own}", *options)
        assert (done.returncode, done.stdout) == (0, f"drawn: {out}, 2 training images of folder\n"), done.stderr
        picture = cv2.imread(str(out))[..., ::-1]
        seen = {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
        assert {tuple(colour) for colour in COLOURS.tolist()} <= seen

    def test_more_than_there_are(self, own, tmp_path):
        options = ("--data", f"folder={own}", "--count", "50", "--out", tmp_path / "p.png", "--size", "32x32")
        assert "3 training images" in stdc_lab("data", "preview", "folder", *options).stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--out", "p.html"], "--out: got 'p.html'; allowed: a file whose name ends in .png"),
            (["--out", "no/such/p.png", "--count", "1", "--size", "32x32"], "--out: no/such/p.png: cannot be written"),
            (["--out", "p.png", "--size", "31x64"], "--size: got '31x64'; allowed: sides from 32"),
        ],
    )
    def test_a_mistake_is_one_message_and_status_2(self, arguments, message, tmp_path):
        done = stdc_lab("data", "preview", "scenes", *arguments, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr

    def test_the_panels_show_what_their_titles_say(self, own):
        samples = draw_samples(DataConfig(name="folder", size=(HEIGHT, WIDTH)), own, 1, seed=0)
        (row,) = preview_rows(samples, seed=0)
        number = ("train/a", "train/b", "train/deep/c").index(row.name)
        assert np.array_equal(row.panels["image"], photo(number))
        assert np.array_equal(row.panels["labels"], COLOURS[stripes(3)])
        assert row.panels["augmented"].shape == row.panels["augmented labels"].shape == (HEIGHT, WIDTH, 3)
        assert list(row.panels)[:4] == ["image", "labels", "augmented", "augmented labels"]
        for title, target in list(row.panels.items())[4:]:
            inside = (target[3:-3, 3:-3] == 255).all(2)
            assert title.startswith("detail target, ") and 0.02 < inside.mean() < 0.5

    def test_the_detail_targets_are_those_of_the_loss(self):
        import torch

        from stdc_lab.training.losses import detail_targets

        labels = stripes(3)
        panels = detail_panels(labels)
        wanted = detail_targets(torch.from_numpy(labels.astype(np.int64))[None])[0, 0].numpy() * 255
        assert np.array_equal(panels["detail target, released"][..., 0], wanted)
        assert set(panels) == {"detail target, released", "detail target, corrected"}
        corrected = panels["detail target, corrected"]
        assert not np.array_equal(corrected, panels["detail target, released"])

    def test_seed_and_count_choose_the_samples(self):
        config = DataConfig(size=(32, 40), train_images=30)
        first = draw_samples(config, None, 3, seed=1)
        again, other = draw_samples(config, None, 3, seed=1), draw_samples(config, None, 3, seed=2)
        names = [frame.name for frame in first.frames]
        assert len(names) == 3 == len(set(names)) and names == sorted(names)
        assert names == [frame.name for frame in again.frames] != [frame.name for frame in other.frames]

    def test_a_folder_with_a_mistake_is_not_drawn(self, own):
        (own / "masks" / "val" / "d.png").unlink()
        with pytest.raises(DataError, match="got no mask"):
            draw_samples(DataConfig(name="folder"), own, 1, 0)

    def test_the_ignored_label_has_a_colour_of_its_own(self):
        assert label_palette(CLASS_COLOURS)[IGNORE_LABEL].tolist() == [255, 255, 255]
        taken = np.array([(255, 255, 255), (1, 1, 1)], np.uint8)
        assert label_palette(taken)[IGNORE_LABEL].tolist() == [0, 0, 0]
        every = np.array([(255, 255, 255), (0, 0, 0), (255, 0, 255)], np.uint8)
        assert label_palette(every)[IGNORE_LABEL].tolist() == [
            255,
            255,
            255,
        ]  # none is left: better one twice than none
