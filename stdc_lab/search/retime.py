"""All finished architectures of a study timed anew, interleaved, in one quiet pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from optuna.trial import TrialState

from stdc_lab.analysis.frame import load_study, write_trials_csv
from stdc_lab.analysis.storage import read_study_config
from stdc_lab.arch import ArchSpec
from stdc_lab.errors import StudyError
from stdc_lab.machine import choose_device, environment, usable_cores
from stdc_lab.nn import build_model
from stdc_lab.profiling import measure_latency
from stdc_lab.records import LatencyResult
from stdc_lab.search.folder import CSV_FILE, driver_lock, open_study, read_record, storage_at_work


def retime_study(
    folder: str | Path, *, device: str = "auto", on_progress: Callable[[float], None] | None = None
) -> dict[str, LatencyResult]:
    """Time every finished architecture of a study, one call of each in turn, and keep the figures in the study.

    Drift of the machine falls on all alike, which a latency measured hours after another cannot promise.
    `load_study` then gives these latencies. Raises `StudyError` for a folder without a finished trial.
    """
    folder = Path(folder)
    config = read_study_config(folder)
    chosen = choose_device(device)
    with driver_lock(folder), storage_at_work(folder):
        study = open_study(config, folder)
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not finished:
            raise StudyError(f"{folder}: no finished trial to time; run the search first")
        here = environment(chosen, config.latency.threads or usable_cores()).fingerprint
        there = {trial.user_attrs.get("fingerprint") for trial in finished} - {here, None}
        if there:
            raise StudyError(
                f"{folder}: its latencies were measured on another machine, device or PyTorch "
                f"(fingerprint {', '.join(sorted(map(str, there)))}; here: {here}): time it there"
            )
        specs = {t.user_attrs["arch_id"]: ArchSpec.from_dict(t.user_attrs["arch"]) for t in finished}
        record = read_record(folder, finished[0].user_attrs["trial_key"])
        classes = record.profile.num_classes if record is not None else 11
        networks = {arch_id: build_model(spec, classes) for arch_id, spec in specs.items()}
        measured = measure_latency(networks, config.latency, chosen, on_progress)
        study.set_user_attr("retimed", {key: value.model_dump(mode="json") for key, value in measured.items()})
        study.set_user_attr(
            "retimed_on", environment(chosen, next(iter(measured.values())).threads).model_dump(mode="json")
        )
        study.set_user_attr("retimed_at", datetime.now(UTC).isoformat(timespec="seconds"))
        write_trials_csv(load_study(folder), folder / CSV_FILE)
    return measured
