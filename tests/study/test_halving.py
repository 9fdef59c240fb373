"""Who goes on, and who is on the front."""

from snnkd.study.halving import pareto, promoted
from snnkd.study.measures import Measures
from snnkd.study.space import GOALS

BOTH = [GOALS["accuracy"], GOALS["flash"]]


def measured(*pairs: tuple[float, int]) -> dict[int, Measures]:
    return {number: Measures(accuracy, 0.0, flash, 0) for number, (accuracy, flash) in enumerate(pairs)}


def test_the_front_is_of_those_that_nobody_beats() -> None:
    rivals = measured((0.9, 100), (0.8, 50), (0.8, 60), (0.95, 200), (0.9, 100))
    assert pareto(rivals, BOTH) == {0, 1, 3, 4}  # equals do not beat each other
    assert pareto(rivals, BOTH[:1]) == {3}


def test_front_by_front_then_by_accuracy() -> None:
    rivals = measured((0.1, 1), (0.8, 50), (0.85, 60), (0.79, 55), (0.7, 70))
    assert promoted(rivals, BOTH, 0.4) == {1, 2}  # the network that knows nothing is small, and on the front
    assert promoted(rivals, BOTH, 0.7) == {0, 1, 2, 3}
    assert promoted(rivals, BOTH[:1], 0.01) == {2}
