"""What a network costs: counters, the timer, the profile."""

from stdc_lab.profiling.profile import profile
from stdc_lab.profiling.ranking import measure_latency

__all__ = ["measure_latency", "profile"]
