"""From a study to trials."""

from stdc_lab.search.driver import SearchOutcome, Watcher, run_study
from stdc_lab.search.retime import retime_study

__all__ = ["SearchOutcome", "Watcher", "retime_study", "run_study"]
