"""Trials → knowledge, free of torch."""

from stdc_lab.analysis.arms import compare_arms
from stdc_lab.analysis.frame import front_of, load_study, varied_parameters, write_trials_csv
from stdc_lab.analysis.pareto import hypervolume, hypervolume_growth, pareto_front
from stdc_lab.storage import read_study_config

__all__ = [
    "compare_arms",
    "front_of",
    "hypervolume",
    "hypervolume_growth",
    "load_study",
    "pareto_front",
    "read_study_config",
    "varied_parameters",
    "write_trials_csv",
]
