"""Corrupted pixels: the package's own, and the same ones whatever happens around."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from kdbench.corruptions import CORRUPTIONS, GROUPS, SEVERITIES, library
from kdbench.corruptions.compute import corrupt
from kdbench.errors import DataError, UnknownNameError
from tests.corruptions.pictures import pictures

imagecorruptions = pytest.importorskip("imagecorruptions", reason="needs pip install 'kdbench[corruptions]'")

RANDOM = {*GROUPS["noise"], "glass_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform"}
SEEDS = [11, 22, 33, 44]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alone(name: str) -> None:
    """In another order, another batch, after other draws and beside other images: the same pixels."""
    images = pictures(4)
    together = corrupt(images, name, 3, SEEDS)
    assert together.shape == images.shape
    assert together.dtype == np.uint8
    np.random.seed(99)
    imagecorruptions.corrupt(images[0], severity=3, corruption_name="glass_blur", seed=4)  # moves numba's generator
    order = [2, 0, 3, 1]
    assert (corrupt(images[order], name, 3, [SEEDS[i] for i in order]) == together[order]).all()
    assert (corrupt(images[3:], name, 3, SEEDS[3:]) == together[3:]).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_and_the_severity_tell(name: str) -> None:
    """Random corruptions differ by seed, the others do not; images are changed more by the last severity."""
    images = pictures(4)
    mild, other = (corrupt(images, name, 1, seeds) for seeds in (SEEDS, [s + 1 for s in SEEDS]))
    assert (mild != other).any() == (name in RANDOM)
    distances = [np.abs(corrupt(images, name, s, SEEDS) - images.astype(float)).mean() for s in (1, 5)]
    assert 0.5 < distances[0] < distances[1]


def test_noise_is_drawn_anew_for_every_corruption_and_severity() -> None:
    """Otherwise the five severities of one image would be one draw, five times."""
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    draws = [corrupt(grey, "gaussian_noise", s, [1])[0].astype(float) - 128 for s in (1, 2)]
    assert abs(np.corrcoef(draws[0].ravel(), draws[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - RANDOM))
def test_the_pixels_are_the_package_s(name: str) -> None:
    images = pictures(2)
    for severity in SEVERITIES:
        expected = np.stack([imagecorruptions.corrupt(i, severity=severity, corruption_name=name) for i in images])
        assert (corrupt(images, name, severity, [1, 2]) == expected).all()


def test_nothing_is_left_behind() -> None:
    """The program's own random numbers go on as if nothing had been; OpenCV is as it was."""
    import cv2

    np.random.seed(3)
    expected, reader = np.random.random(4), cv2.imread
    np.random.seed(3)
    for name in CORRUPTIONS:
        corrupt(pictures(1), name, 2, [7])
    assert (np.random.random(4) == expected).all()
    assert cv2.imread is reader


def test_another_process_computes_the_same() -> None:
    code = (
        "import hashlib, sys; from kdbench.corruptions import CORRUPTIONS\n"
        "from kdbench.corruptions.compute import corrupt\n"
        "from tests.corruptions.pictures import pictures\n"
        "parts = [corrupt(pictures(2), name, 4, [5, 6]).tobytes() for name in CORRUPTIONS[::-1]]\n"
        "sys.stdout.write(hashlib.sha256(b''.join(parts[::-1])).hexdigest())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = b"".join(corrupt(pictures(2), name, 4, [5, 6]).tobytes() for name in CORRUPTIONS)
    assert result.stdout == hashlib.sha256(here).hexdigest()


def test_small_grey_images_keep_their_place_and_their_noise() -> None:
    """28 pixels are continued to 32 and cut back to the same 28; noise of one channel is as strong as of three."""
    images = pictures(3, side=28, channels=1) // 2
    brighter = corrupt(images, "brightness", 1, [1, 2, 3])
    assert brighter.shape == images.shape
    assert np.abs(brighter - images.astype(float) - 25.5).max() <= 1
    grey = np.full((4, 28, 28, 1), 128, np.uint8)
    assert corrupt(grey, "gaussian_noise", 1, SEEDS).std() == pytest.approx(0.08 * 255, rel=0.05)
    for name in CORRUPTIONS:
        assert corrupt(images, name, 5, [1, 2, 3]).shape == images.shape


def test_mistakes() -> None:
    with pytest.raises(DataError, match="8 x 8 pixels are too small"):
        corrupt(pictures(1, side=8), "fog", 1, [1])
    with pytest.raises(UnknownNameError, match="did you mean fog"):
        corrupt(pictures(1), "foq", 1, [1])
    with pytest.raises(ValueError, match="shorter"):
        corrupt(pictures(2), "fog", 1, [1])


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.missing_library() is None
    assert library.library_version().startswith("imagecorruptions-imaug 1.")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)  # what a machine without libGL comes to: the import fails
        with pytest.raises(DataError, match=r"OpenCV.* cannot be imported .*headless"):
            corrupt(pictures(1), "fog", 1, [1])
    monkeypatch.setattr(library, "DISTRIBUTION", "imagecorruptions-absent")
    assert "pip install 'kdbench[corruptions]'" in (library.missing_library() or "")
    with pytest.raises(DataError, match=r"kdbench\[corruptions\]"):
        corrupt(pictures(1), "fog", 1, [1])
