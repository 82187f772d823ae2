"""How a candidate comes by its scores: a file a scorer."""

from stdc_lab.search.scoring.base import Score, Scorer, Workplace, find_scorer

__all__ = ["Score", "Scorer", "Workplace", "find_scorer"]
