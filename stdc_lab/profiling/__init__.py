"""What a network costs: counters, the timer, the profile."""

from stdc_lab.profiling.latency import measure_latency
from stdc_lab.profiling.profile import profile

__all__ = ["measure_latency", "profile"]
