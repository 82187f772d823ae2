"""From a study to trials."""

from stdc_lab.search.confirm import Confirmation
from stdc_lab.search.crew import Crew
from stdc_lab.search.driver import SearchOutcome, run_study
from stdc_lab.search.retime import retime_study
from stdc_lab.search.watcher import Watcher

__all__ = ["Confirmation", "Crew", "SearchOutcome", "Watcher", "retime_study", "run_study"]
