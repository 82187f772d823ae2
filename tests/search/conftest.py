from collections.abc import Iterator

import pytest

from stdc_lab.search import Crew


@pytest.fixture(scope="session")
def crew(own_lock_and_cache: object) -> Iterator[Crew]:
    """One worker for all studies of a test process: importing PyTorch takes longer than what it does here."""
    with Crew() as crew:
        yield crew
