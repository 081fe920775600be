"""A random detection set, and results for it."""

import random

import pytest
from sets import ground_truth, shaken


@pytest.fixture
def truth() -> dict:
    return ground_truth(random.Random(5))


@pytest.fixture
def results(truth: dict) -> list[dict]:
    return shaken(random.Random(6), truth)
