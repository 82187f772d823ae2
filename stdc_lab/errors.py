"""What can be wrong with a user's input or surroundings. The command line prints these and exits with 2."""

from __future__ import annotations


class StdcLabError(Exception):
    """The input or the surroundings are at fault, and the message says what to do about it."""


class SpecError(StdcLabError, ValueError):
    """An architecture that cannot exist."""


class ConfigError(StdcLabError, ValueError):
    """A file or an option that does not say what it may say."""


class DataError(StdcLabError):
    """A data set that is missing, incomplete or contradicts itself."""


class StudyError(StdcLabError):
    """A study's folder or storage that cannot be used as asked."""


class CheckpointError(StdcLabError):
    """A file of weights that cannot be read, trusted or fitted."""


class ResultsError(StdcLabError):
    """A table of results that cannot be judged as it is."""
