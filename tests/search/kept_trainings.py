"""What the design promises of every training in a study's folder."""

from pathlib import Path

import pandas as pd
import torch

from stdc_lab.analysis import load_study


def assert_every_training_is_kept(folder: Path) -> pd.DataFrame:
    """`runs/<trial_key>/checkpoint.pt` is there for whatever was trained; gives the study's rows."""
    frame = load_study(folder)
    trained = frame[frame["state"].isin(["COMPLETE", "PRUNED"]) & ~frame["screened"]]
    assert len(trained)
    for row in trained.to_dict("records"):
        stored = torch.load(folder / "runs" / row["trial_key"] / "checkpoint.pt", weights_only=True)
        assert stored["protocol"]["trial_key"] == row["trial_key"]
        assert stored["protocol"]["seed"] == row["seed"]
    return frame
