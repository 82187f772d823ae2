import pytest
import torch

from stdc_lab.hardware import threads
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import cpu_threads


def test_threads_are_put_back_and_the_fingerprint_does_not_depend_on_them() -> None:
    before = torch.get_num_threads()
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
        one = environment(torch.device("cpu"), 1)
    assert torch.get_num_threads() == before
    assert one.fingerprint == environment(torch.device("cpu"), 2).fingerprint


@pytest.mark.parametrize(
    ("variable", "expected"), [(None, 8), ("", 8), ("3", 3), ("3,2", 3), ("64", 8), ("0", 8), ("-1", 8), ("many", 8)]
)
def test_omp_num_threads_lowers_the_default(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: int
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert threads.default_threads() == expected
