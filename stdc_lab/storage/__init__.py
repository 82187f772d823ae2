"""A study's trials in and out: Optuna's storage, its private calls and the attributes of trials."""

from stdc_lab.storage.notes import StudyNotes, TrialNotes
from stdc_lab.storage.reading import (
    STORAGE_FILE,
    STUDY_FILE,
    StoredStudy,
    StudyReader,
    read_storage,
    read_study_config,
)
from stdc_lab.storage.trials import (
    State,
    StoredTrial,
    enqueue,
    give_back,
    set_constraints,
    take_up_abandoned,
    take_waiting,
    tell_complete,
    tell_failed,
    tell_pruned,
    trial_of,
    trials_of,
)
from stdc_lab.storage.views import TRAINABLE, Searched, as_lessons
from stdc_lab.storage.writing import open_study, storage_at_work

__all__ = [
    "STORAGE_FILE",
    "STUDY_FILE",
    "TRAINABLE",
    "Searched",
    "State",
    "StoredStudy",
    "StoredTrial",
    "StudyNotes",
    "StudyReader",
    "TrialNotes",
    "as_lessons",
    "enqueue",
    "give_back",
    "open_study",
    "read_storage",
    "read_study_config",
    "set_constraints",
    "storage_at_work",
    "take_up_abandoned",
    "take_waiting",
    "tell_complete",
    "tell_failed",
    "tell_pruned",
    "trial_of",
    "trials_of",
]
