from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from genai.metrics.image.caption_map import PENALTY, fit_captions
from genai.metrics.image.picture_items import PictureItem
from genai.metrics.image.picture_space import fit_space
from genai.metrics.image.picture_texture import flat_share, gradient_energy, pixel_distances
from genai.metrics.image.retrieval_targets import CaptionTargets, ReferenceTargets, without_copies
from genai.metrics.image.style_classifier import fit_styles

RANDOM = torch.Generator().manual_seed(0)


def picture(label: str, style: str = "", family: str = "", group: str = "", keywords: str = "") -> PictureItem:
    return PictureItem(0, label, label, keywords, style, family or label, group, "")


def test_a_space_keeps_what_labels_differ_in_and_drops_styles() -> None:
    labels = [f"{number}" for number in range(40) for _ in range(4)]
    styles = ["a", "b", "c", "d"] * 40
    things = torch.randn(40, 5, generator=RANDOM).repeat_interleave(4, 0)
    nuisance = 2 * torch.randn(160, 3, generator=RANDOM)
    offsets = 20 * torch.randn(4, 8, generator=RANDOM).repeat(40, 1)
    features = torch.cat([things, nuisance], 1) + offsets
    vectors = fit_space(features, labels, styles).embed(features, styles)
    similarity = vectors @ vectors.T - 2 * torch.eye(160)
    nearest = similarity.argmax(1)
    assert sum(labels[row] == labels[int(other)] for row, other in enumerate(nearest)) >= 140
    raw = normalize(features, dim=1)
    nearest = (raw @ raw.T - 2 * torch.eye(160)).argmax(1)
    assert sum(labels[row] == labels[int(other)] for row, other in enumerate(nearest)) < 40


def test_without_repeated_labels_a_space_is_that_of_whitened_principal_components() -> None:
    features = torch.randn(500, 6, generator=RANDOM) * torch.tensor([5.0, 4, 3, 2, 1, 0.5])
    space = fit_space(features, [f"{number}" for number in range(500)], [""] * 500)
    assert space.projection.abs().argmax(0).tolist() == [0, 1, 2, 3, 4, 5]
    spread = ((features - features.mean(0)) @ space.projection).std(0)
    assert spread[:3] == pytest.approx(torch.ones(3), abs=0.1) and bool((spread.diff() < 0).all())


def test_new_styles_have_their_own_means() -> None:
    features = torch.randn(30, 4, generator=RANDOM)
    space = fit_space(features, [f"{number % 10}" for number in range(30)], ["a"] * 30)
    wider = space.with_styles(features + 7, ["b"] * 30)
    assert wider.embed(features + 7, ["b"] * 30) == pytest.approx(space.embed(features, ["a"] * 30), abs=1e-4)


def test_a_prediction_without_a_family_is_that_of_a_fit_without_it() -> None:
    labels = ["red fox", "gray fox", "gray wolf", "red apple", "green apple", "green pear"]
    families = ["fox", "fox", "", "apple", "apple", ""]
    rows = [picture(label, family=family, keywords="thing") for label, family in zip(labels, families, strict=True)]
    vectors = torch.randn(6, 3, generator=RANDOM)
    whole = fit_captions(rows, vectors)
    rest = fit_captions(rows[2:], vectors[2:])
    for label in labels[:2]:
        assert whole.predict(label, "thing") == pytest.approx(rest.predict_known(label, "thing"), abs=1e-4)
        assert whole.predict_known(label, "thing") != pytest.approx(whole.predict(label, "thing"), abs=1e-2)


def test_a_caption_predicts_the_mean_of_its_pictures() -> None:
    vectors = torch.randn(6, 4, generator=RANDOM)
    captions = fit_captions([picture(label) for label in ("a1", "a1", "b2", "c3", "c3", "c3")], vectors)
    assert captions.predict_known("A1!", "") == pytest.approx(vectors[:2].mean(0) / (1 + PENALTY), abs=1e-5)
    assert captions.predict_known("C3", "") == pytest.approx(vectors[3:].mean(0) / (1 + PENALTY), abs=1e-5)
    assert captions.predict("unknown", "").count_nonzero() == 0
    targets = CaptionTargets([picture("a1"), picture("unknown")], captions)
    assert not targets.has(picture("unknown")) and not targets.has(picture("nowhere"))


def test_references_leave_out_the_style_of_a_picture_and_the_picture_itself() -> None:
    rows = [picture("x", "a"), picture("x", "b"), picture("y", "a"), picture("y", "a")]
    targets = ReferenceTargets(rows, torch.eye(4))
    vectors, known = targets.vectors(picture("x", "a"))
    assert known.tolist() == [True, False] and vectors[0].tolist() == [0, 1, 0, 0]
    assert targets.vectors(picture("x", "new"))[0][0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])
    plain = [picture("x"), picture("x"), picture("y")]
    targets = ReferenceTargets(plain, torch.eye(3))
    assert targets.vectors(plain[1])[0][0].tolist() == [1, 0, 0]
    assert targets.has(plain[0]) and not targets.has(plain[2])
    assert targets.has(replace(plain[2]))  # another picture of the same label


def test_ranks_count_nearer_labels_of_other_families_or_of_the_group() -> None:
    rows = [picture("fox", group="animal"), picture("vixen", family="fox", group="animal")]
    rows += [picture("wolf", group="animal"), picture("apple", group="fruit")]
    targets = ReferenceTargets([*rows], normalize(torch.tensor([[1.0, 0], [1, 0.1], [1, 0.5], [0, 1]]), dim=1))
    query = replace(rows[0])
    rng = np.random.default_rng(0)
    assert targets.rank(torch.tensor([1.0, 0]), query, rng) == (0, 3)
    assert targets.rank(torch.tensor([0.8, 0.6]), query, rng) == (1, 3)
    assert targets.rank(torch.tensor([0.0, 1]), query, rng) == (2, 3)
    assert targets.rank(torch.tensor([0.0, 1]), query, rng, in_group=True) == (1, 2)


def test_copies_are_found_though_they_were_saved_again() -> None:
    train = torch.rand(50, 192, generator=RANDOM)
    layouts = torch.cat([train[:3] + 2 / 255, train[3:5] + 8 / 255, torch.rand(2, 192, generator=RANDOM)])
    assert without_copies(layouts, train).tolist() == [False] * 3 + [True] * 4


def test_grain_and_flatness() -> None:
    plain = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    board = ((torch.arange(8)[:, None] + torch.arange(8)) % 2 * 255).to(torch.uint8).expand(1, 3, 8, 8)
    pixels = torch.cat([plain, board])
    assert gradient_energy(pixels).tolist() == [0, 1] and flat_share(pixels).tolist() == [1, 0]
    steps = (torch.arange(8) * 4).to(torch.uint8).expand(1, 1, 8, 8)
    assert flat_share(steps).item() == 1 and flat_share(steps * 2).item() == 0.5
    assert pixel_distances(plain, plain + 51).item() == pytest.approx(0.2)


def test_styles_are_recognized_by_their_features() -> None:
    features = torch.randn(300, 6, generator=RANDOM)
    styles = ["b" if row[0] + row[1] > 0.3 else "a" for row in features]
    found = fit_styles(features[:200], styles[:200]).classify(features[200:])
    assert sum(a == b for a, b in zip(found, styles[200:], strict=True)) >= 85
