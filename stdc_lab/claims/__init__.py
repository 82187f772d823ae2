"""A claim → the figures and trainings that it needs. What they mean is told by `analysis`."""
