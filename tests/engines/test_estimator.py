"""The estimator keeps scikit-learn's conventions, and its decisions are those of the model that was found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks

import autoad_nni as ad
from autoad_nni.engines.estimator import AnomalyDetector, ArrayError, to_pixels

# Those that need no (n, n_features) array; the others are below, for images.
API_CHECKS = (
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_mixin_order,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Zeros are good, a few ones are defects."""
    digits = load_digits()
    good, defects = np.flatnonzero(digits.target == 0)[:60], np.flatnonzero(digits.target == 1)[:12]
    chosen = np.random.default_rng(0).permutation([*good, *defects])
    return (digits.images[chosen] * 15).astype(np.uint8), (digits.target[chosen] == 1).astype(int)


def detector(**changes: Any) -> AnomalyDetector:
    return AnomalyDetector(**{"trials": 2, "image_size": 16, **changes})


@pytest.fixture(scope="module")
def fitted(images: Any) -> AnomalyDetector:
    return detector().fit(*images)


@pytest.mark.parametrize("check", API_CHECKS, ids=lambda check: check.__name__)
def test_keeps_scikit_learns_conventions(check: Any) -> None:
    check("AnomalyDetector", AnomalyDetector())


@pytest.mark.slow
def test_signs_and_translation_agree(fitted: AnomalyDetector, images: Any) -> None:
    X, _ = images
    decision, scores, predicted = fitted.decision_function(X), fitted.score_samples(X), fitted.predict(X)
    assert decision.shape == scores.shape == predicted.shape == (len(X),)
    assert decision.dtype == scores.dtype == np.float64 and predicted.dtype.kind == "i"
    np.testing.assert_array_equal(np.unique(predicted), [-1, 1])
    np.testing.assert_array_equal(np.where(decision >= 0, 1, -1), predicted)
    np.testing.assert_allclose(scores - fitted.offset_, decision)
    np.testing.assert_array_equal(-scores, fitted.decision_scores_)
    np.testing.assert_array_equal(fitted.labels_ == 1, predicted == -1)
    np.testing.assert_array_equal(fitted.labels_ == 1, fitted.decision_scores_ > fitted.threshold_)


def test_defects_score_higher(fitted: AnomalyDetector, images: Any) -> None:
    _, y = images
    assert np.median(fitted.decision_scores_[y == 1]) > np.median(fitted.decision_scores_[y == 0])


def test_order_and_company_of_images_change_nothing(fitted: AnomalyDetector, images: Any) -> None:
    X, _ = images
    scores = fitted.score_samples(X)
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_allclose(fitted.score_samples(X[order]), scores[order], rtol=1e-5)
    alone = np.concatenate([fitted.score_samples(X[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(alone, scores[:10], rtol=1e-5)
    assert fitted.score_samples(X[:0]).shape == (0,)


def test_fit_twice_gives_the_same_and_changes_neither_images_nor_parameters(
    fitted: AnomalyDetector, images: Any
) -> None:
    X, y = images[0].copy(), images[1].copy()
    X.flags.writeable = y.flags.writeable = False
    again = clone(fitted)
    before = again.get_params()
    assert again.fit(X, y) is again
    assert again.get_params() == before
    np.testing.assert_array_equal(again.decision_scores_, fitted.decision_scores_)
    assert again.threshold_ == fitted.threshold_
    state = copy.deepcopy({key: value for key, value in vars(again).items() if isinstance(value, np.ndarray)})
    again.predict(X)
    for name, value in state.items():
        np.testing.assert_array_equal(vars(again)[name], value)


def test_kept_run_is_that_of_the_estimator(images: Any, tmp_path: Path) -> None:
    X, y = images
    kept = detector(output=tmp_path / "run", random_state=3).fit(X, y)
    score = ad.load(tmp_path / "run").predict(X[:, None]).score.numpy()
    np.testing.assert_array_equal(kept.decision_scores_, score)
    assert len(ad.Run(tmp_path / "run").records) == 2


@pytest.mark.parametrize("given", ["float", "channels last", "channels first", "list", "three channels"])
def test_images_of_every_kind_are_the_same(fitted: AnomalyDetector, images: Any, given: str) -> None:
    X = images[0][:5]
    same = {
        "float": X / 255,
        "channels last": X[..., None],
        "channels first": X[:, None],
        "list": (X / 255).tolist(),
        "three channels": np.repeat(X[..., None], 3, axis=-1),
    }[given]
    if given == "three channels":
        with pytest.raises(ArrayError, match=r"images of shape \(3, 8, 8\)\. Expected \(1, 8, 8\)"):
            fitted.predict(same)
    else:
        np.testing.assert_array_equal(fitted.score_samples(same), fitted.score_samples(X))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 64)), "has the shape"),
        (np.zeros((4, 4, 4)), "sides of 8 or more"),
        (np.zeros((4, 2, 16, 16)), "has the shape"),
        (np.full((4, 16, 16), 2.0), "from 2 to 2"),
        (np.full((4, 16, 16), np.nan), "from nan to nan"),
        (np.full((4, 16, 16), 300), "int64"),
        (np.full((4, 16, 16), "a"), "holds <U1"),
    ],
)
def test_other_arrays_are_refused(X: Any, message: str) -> None:
    with pytest.raises(ArrayError, match=message):
        to_pixels(X)


@pytest.mark.parametrize("y", [None, np.zeros(3), np.full(20, 2), [[0]] * 20])
def test_labels_are_needed(y: Any) -> None:
    with pytest.raises(ArrayError, match="1 for images with a defect"):
        AnomalyDetector().fit(np.zeros((20, 8, 8), np.uint8), y)


@pytest.mark.parametrize(("label", "missing"), [(0, "image with a defect"), (1, "good image")])
def test_both_kinds_are_needed(label: int, missing: str) -> None:
    with pytest.raises(ArrayError, match=f"y has no {missing}"):
        AnomalyDetector().fit(np.zeros((20, 8, 8), np.uint8), np.full(20, label))


def test_is_not_fitted_before() -> None:
    with pytest.raises(NotFittedError):
        AnomalyDetector().predict(np.zeros((2, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("n_good", "n_defects", "found"),
    [(3, 2, "3 good images (0)"), (9, 2, "9 good images (0)"), (10, 1, "1 image with a defect (1)")],
)
def test_too_few_images_are_refused_without_naming_a_folder(n_good: int, n_defects: int, found: str) -> None:
    images, labels = np.zeros((n_good + n_defects, 8, 8), np.uint8), [0] * n_good + [1] * n_defects
    with pytest.raises(ArrayError) as caught:
        AnomalyDetector().fit(images, labels)
    assert str(caught.value) == f"y has {found}. Expected 10 good images and 2 with a defect, or more. Add some."
