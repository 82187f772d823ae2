"""The arms of a plan: means over seeds, and by how much each differs from the control arm, paired by seed."""

from __future__ import annotations

import pandas as pd

from stdc_lab.analysis.networks import estimate, paired_difference, scores_of

ARM_FIGURES = ("latency_ms", "macs", "num_params")
"""Of an arm's network: the same for all its seeds."""


def compare_arms(frame: pd.DataFrame) -> pd.DataFrame:
    """The arms of a plan, a row each in the plan's order; empty for a study without one.

    Columns: `arm`; `control`, whether it is the arm that the others are compared with; `seeds`, how many of its
    trainings are complete; for `miou`, `boundary_f` … the mean over seeds (`miou`), its 95 % interval (`miou_low`,
    `miou_high`) and the difference to the control arm over the seeds that both have (`miou_difference`,
    `miou_difference_low`, `miou_difference_high`; NaN for the control); `pairs`, how many seeds these are;
    `latency_ms`, `macs`, `num_params`. An interval is Student's t over seeds, and NaN with fewer than two.

    frame: as `load_study` gives it; its `attrs` name the arms and the control.
    """
    arms, control = frame.attrs.get("arms", []), str(frame.attrs.get("control"))
    complete = frame[(frame["state"] == "COMPLETE") & frame["arm"].notna()]
    by_arm = {str(name): rows.drop_duplicates("seed").set_index("seed") for name, rows in complete.groupby("arm")}
    none = complete.head(0).set_index("seed")
    names = scores_of(frame)
    rows = []
    for arm in arms:
        trainings, beside = by_arm.get(arm, none), by_arm.get(control, none)
        row = {"arm": arm, "control": arm == control, "seeds": len(trainings), "pairs": 0}
        for score in names:
            found = estimate(trainings[score].to_numpy())
            row |= {score: found.mean, f"{score}_low": found.low, f"{score}_high": found.high}
            apart = estimate([]) if arm == control else paired_difference(trainings[score], beside[score])
            row |= {
                f"{score}_difference": apart.mean,
                f"{score}_difference_low": apart.low,
                f"{score}_difference_high": apart.high,
            }
            row["pairs"] = max(row["pairs"], apart.count)
        row |= {name: float(trainings[name].median()) for name in ARM_FIGURES}
        rows.append(row)
    scores = [f"{score}{end}" for score in names for end in ("", "_low", "_high")]
    apart_columns = [f"{score}_difference{end}" for score in names for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["arm", "control", "seeds", *scores, "pairs", *apart_columns, *ARM_FIGURES])
