"""Images: what a view does to each row, against one image at a time, and what tables may hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kdbench.errors import DataError
from kdbench.inputs.images import EncodedImages, ImageReader, crop_and_flip
from kdbench.tasks.dataset import ImageExamples, carve_selection, to_examples
from kdbench.tasks.pixels import decode_images, raw_image
from kdbench.tasks.spec import Columns, ImageFormat

RNG = np.random.default_rng(0)


def _form(size: int = 8, channels: int = 3, **more: Any) -> ImageFormat:
    return ImageFormat(size=size, channels=channels, mean=(0.5,) * channels, std=(0.2,) * channels, **more)


def _split(count: int = 40, crop: int = 2, flip: bool = True) -> EncodedImages:
    pixels = RNG.integers(1, 256, (count, 8, 8, 3), dtype=np.uint8)  # no zeros: those come from padding alone
    return EncodedImages(torch.from_numpy(pixels), np.arange(count) % 10, _form(crop=crop, flip=flip))


# --- crops and flips ------------------------------------------------------------------------------


def _moved(image: np.ndarray, down: int, right: int, mirror: bool) -> np.ndarray:
    """The window that starts ``down`` and ``right``, pixel by pixel, zeros outside, then mirrored."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row + down < height and 0 <= column + right < width:
                result[row, column] = image[row + down, column + right]
    return result[:, ::-1] if mirror else result


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.booleans()), min_size=1, max_size=6))
def test_crops_and_flips_equal_those_of_each_image_alone(moves: list[tuple[int, int, bool]]) -> None:
    """Images that are not square, so that height and width cannot be mixed up."""
    images = np.random.default_rng(1).integers(0, 256, (len(moves), 5, 4, 2), dtype=np.uint8)
    shifts = torch.tensor([move[:2] for move in moves])
    flips = torch.tensor([move[2] for move in moves])
    found = crop_and_flip(torch.from_numpy(images), shifts, flips, reach=int(shifts.abs().max()) + 1).numpy()
    assert (found == np.stack([_moved(image, *move) for image, move in zip(images, moves, strict=True)])).all()


def test_the_plain_view_holds_the_pixels_themselves() -> None:
    """Channels first, divided by 255, whatever the format allows."""
    data = _split()
    rows = np.array([7, 3, 3])
    found = data.collate(rows)["pixel_values"]
    expected = data.pixels[rows].permute(0, 3, 1, 2).float() / 255
    assert torch.equal(found, expected) and found.dtype == torch.float32 and found.shape == (3, 3, 8, 8)


def test_a_view_moves_every_image_by_at_most_the_crop() -> None:
    """Every row of a view is one of the possible crops; all shifts and both directions occur."""
    data = _split(count=400, crop=1)
    found = (data.collate(np.arange(400), view=5)["pixel_values"] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    seen = set()
    moves = [(down, right, mirror) for down in (-1, 0, 1) for right in (-1, 0, 1) for mirror in (False, True)]
    for image, original in zip(found, data.pixels.numpy(), strict=True):
        fitting = [move for move in moves if (image == _moved(original, *move)).all()]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert seen == set(moves)


def test_views_stay_in_the_range_and_do_not_touch_the_split() -> None:
    """In [0, 1]; the uint8 pixels are as they were."""
    data = _split()
    before = data.pixels.clone()
    found = data.collate(np.arange(40), view=1)["pixel_values"]
    assert found.min() == 0 and found.max() <= 1
    assert torch.equal(data.pixels, before)


def test_a_view_is_decided_by_its_seed_and_the_row_alone() -> None:
    """Not by the batch: what lets logits of a view be cached. Nor by the global random state."""
    data, rows = _split(), np.arange(40)
    whole = data.collate(rows, view=9)["pixel_values"]
    order = RNG.permutation(40)
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(data.collate(order, view=9)["pixel_values"], whole[order])
    assert torch.equal(data.collate(np.array([31]), view=9)["pixel_values"][0], whole[31])
    other = data.collate(rows, view=10)["pixel_values"]
    assert sum(torch.equal(a, b) for a, b in zip(whole, other, strict=True)) < 10
    assert torch.equal(data.collate(rows, view=9)["pixel_values"], whole), "also after another view was read"


def test_shifts_are_uniform_and_half_of_the_rows_are_mirrored() -> None:
    """By chi-square over 25 shifts."""
    data = EncodedImages(torch.zeros(20_000, 1, 1, 1, dtype=torch.uint8), np.zeros(20_000), _form(crop=2, flip=True))
    shifts, flips = data._moves(np.arange(20_000), view=3)
    counts = torch.bincount((shifts[:, 0] + 2) * 5 + shifts[:, 1] + 2, minlength=25).double()
    assert ((counts - 800) ** 2 / 800).sum() < 60  # 24 degrees of freedom: once in 16,000 seeds
    assert abs(flips.double().mean() - 0.5) < 4 * 0.5 / 20_000**0.5


@pytest.mark.parametrize(("crop", "flip"), [(0, False), (2, False), (0, True)])
def test_only_what_the_format_allows_happens(crop: int, flip: bool) -> None:
    """Without either, a view is the plain image and the split says that it is not augmented."""
    data, rows = _split(crop=crop, flip=flip), np.arange(40)
    assert data.augmented == (crop > 0 or flip)
    found, plain = data.collate(rows, view=1)["pixel_values"], data.collate(rows)["pixel_values"]
    assert torch.equal(found, plain) == (not data.augmented)
    if not crop:
        assert all(torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(found, plain, strict=True))


def test_all_rows_are_visited_in_order() -> None:
    """For prediction; all images are of one size."""
    assert [batch.tolist() for batch in _split(count=5).by_length(2)] == [[0, 1], [2, 3], [4]]
    assert _split(count=5).lengths.tolist() == [1] * 5


# --- from tables to pixels ------------------------------------------------------------------------


def _file(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


COLOUR = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (8, 8), dtype=np.uint8)


def _decoded(value: Any, form: ImageFormat) -> np.ndarray:
    return decode_images([raw_image(value, "somewhere")], form)[0]


@pytest.mark.parametrize(
    "value",
    [
        _file(COLOUR),
        {"bytes": _file(COLOUR), "path": None},
        COLOUR,
        COLOUR.tolist(),
    ],
    ids=["file", "hub", "array", "lists"],
)
def test_every_form_of_an_image_gives_the_same_pixels(value: Any) -> None:
    """Exactly: nothing is resized or converted that need not be."""
    assert (_decoded(value, _form()) == COLOUR).all()


def test_images_survive_parquet(tmp_path: Any) -> None:
    """Nested lists come back as nested arrays."""
    pd.DataFrame({"image": [COLOUR.tolist(), COLOUR.tolist()], "label": [0, 1]}).to_parquet(tmp_path / "i.parquet")
    table = pd.read_parquet(tmp_path / "i.parquet")
    examples = to_examples(table, Columns(image="image"), ["a", "b"], {}, "somewhere")
    assert isinstance(examples, ImageExamples)
    assert (examples.pixels(_form()) == COLOUR).all() and examples.ids[1] == f"{examples.ids[0]}-1"


def test_grey_and_colour_are_converted_both_ways() -> None:
    """Grey is repeated; colours are weighted as ITU-R 601 does."""
    repeated = _decoded(GREY, _form())
    assert (repeated == GREY[..., None]).all()
    single = _decoded(COLOUR, _form(channels=1))
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert single.shape == (8, 8, 1) and np.abs(single[..., 0] - luma).max() <= 1
    assert (_decoded(GREY, _form(channels=1))[..., 0] == GREY).all()


def test_a_transparent_image_loses_its_alpha() -> None:
    """PNGs with four channels are common."""
    alpha = np.concatenate([COLOUR, np.full((8, 8, 1), 255, dtype=np.uint8)], axis=2)
    assert (_decoded(_file(alpha), _form()) == COLOUR).all()


def test_other_sizes_are_resized_bilinearly() -> None:
    """Half the size of a ramp is a ramp; a constant one stays constant."""
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    small = _decoded(ramp, _form(channels=1))[..., 0].astype(int)
    assert small.shape == (8, 8) and np.abs(small[:, 1:-1] - np.arange(25, 140, 20)).max() <= 1
    assert (_decoded(np.full((3, 9), 77, dtype=np.uint8), _form(channels=1)) == 77).all()


@pytest.mark.parametrize(
    "value",
    ["a/path.png", 7, [1, 2, 3], [[0.5, 0.25]], [[-1, 3]], [[0, 256]], [[1, 2], [3]], {"path": "x.png"}, []],
    ids=["path", "number", "flat", "fractions", "negative", "too bright", "ragged", "hub without bytes", "empty"],
)
def test_what_is_no_image_is_refused(value: Any) -> None:
    """With the place."""
    with pytest.raises(DataError, match="somewhere: an image is neither an encoded file nor rows of pixel values"):
        raw_image(value, "somewhere")


@pytest.mark.parametrize("value", [b"no image", _file(COLOUR)[:40], np.zeros((4, 4, 7), dtype=np.uint8)])
def test_a_broken_image_is_named(value: Any) -> None:
    """By its number in the split."""
    with pytest.raises(DataError, match="image 1 cannot be read"):
        decode_images([COLOUR, value], _form())


# --- examples -------------------------------------------------------------------------------------


def _examples(count: int = 60) -> ImageExamples:
    images = np.random.default_rng(2).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    images[count // 2 :] = images[: count - count // 2]  # every image twice
    table = pd.DataFrame({"image": [image.tolist() for image in images], "label": [i % 2 for i in range(count)]})
    found = to_examples(table, Columns(image="image"), ["no", "yes"], {}, "somewhere")
    assert isinstance(found, ImageExamples)
    return found


def test_equal_images_stay_on_one_side_of_the_selection_split() -> None:
    """Told by their content."""
    examples = _examples()
    train, selection = carve_selection(examples, 0.3, 1000)
    assert len(train) + len(selection) == 60
    assert not set(train.contents()) & set(selection.contents())
    assert len(set(examples.contents())) == 30 and len(set(examples.ids)) == 60


def test_rows_keep_their_image_and_label_together() -> None:
    """Taken, sampled and encoded."""
    examples = _examples()
    chosen = examples.take([5, 2])
    data = ImageReader(_form(channels=1)).encode(chosen)
    assert data.labels.tolist() == [1, 0] and len(data) == 2
    assert torch.equal(data.pixels[0, ..., 0], torch.from_numpy(np.asarray(examples.images[5])))
    few = examples.sample(10, "salt")
    assert len(few) == 10 and set(few.ids) < set(examples.ids)


def test_readers_of_one_task_never_differ(tmp_path: Any) -> None:
    """And leave no files: the model knows its normalisation."""
    reader = ImageReader(_form())
    reader.save(tmp_path)
    assert reader.differs(ImageReader(_form())) is None and not list(tmp_path.iterdir())
