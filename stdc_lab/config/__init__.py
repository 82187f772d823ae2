"""What a user may write, as frozen values."""

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import DataConfig, TrainConfig, TrainingHeads

__all__ = ["DataConfig", "LatencyConfig", "SearchSpace", "StudyConfig", "TrainConfig", "TrainingHeads"]
