"""Scores that are far below the others."""

import numpy as np

from genai.speech.outlier_scores import low_outliers


def test_far_below_the_others() -> None:
    scores = [*np.linspace(-1, 1, 50), -20.0, -9.0, 30.0]
    places, rule = low_outliers(scores)
    assert places == [50, 51] and "robust standard deviations" in rule


def test_few_recordings_have_no_usual_score() -> None:
    assert low_outliers([-1.0, -1.0, -50.0])[0] == []
