"""What a user may write, as frozen values."""

from stdc_lab.config.data import DataConfig
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig, TrainingHeads

__all__ = ["DataConfig", "LatencyConfig", "SearchSpace", "StudyConfig", "TrainConfig", "TrainingHeads"]
