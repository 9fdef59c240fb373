"""One thread for networks so small that two are several times slower."""

from __future__ import annotations

import pytest

from snnkd.training.tuning import torch_threads


@pytest.fixture(scope="module")
def one_thread():
    with torch_threads(1):
        yield
