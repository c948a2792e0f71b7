import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_nb.method.patches import cut_patches, merge_patches, patch_starts, random_patches
from radar_nb.method.tiles import map_in_tiles, tile_spans, tile_weights


@st.composite
def layouts(draw):
    size = draw(st.integers(1, 12))
    stride = draw(st.integers(1, size))
    return size, stride, draw(st.integers(size, 40)), draw(st.integers(size, 40)), draw(st.sampled_from([1, 3])), draw(st.integers(1, 3))


@settings(deadline=None)  # a busy machine is no error
@given(layouts())
def test_cut_then_merge_is_the_identity(layout):
    size, stride, height, width, channels, count = layout
    images = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(0))
    for second in {0, stride // 2}:
        patches = cut_patches(images, size, stride, second)
        assert patches.shape[2:] == (channels, size, size)
        torch.testing.assert_close(merge_patches(patches, height, width, stride, second), images)


@settings(deadline=None)  # a busy machine is no error
@given(layouts())
def test_patches_cover_every_pixel_and_stay_inside(layout):
    size, stride, length, *_ = layout
    starts = patch_starts(length, size, stride, stride // 2)
    assert {pixel for start in starts for pixel in range(start, start + size)} == set(range(length))


@pytest.mark.parametrize(("length", "size", "stride", "named"), [(8, 9, 1, "size=9"), (8, 4, 5, "stride=5"), (8, 4, 0, "stride=0")])
def test_impossible_layouts_are_named(length, size, stride, named):
    with pytest.raises(ValueError, match=named):
        patch_starts(length, size, stride)


def test_overlapping_pixels_are_averaged():
    patches = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])[None]  # two patches on a 2 x 3 image
    merged = merge_patches(patches, 2, 3, stride=1)
    assert merged[0, 0].tolist() == [[0, 0.5, 1], [0, 0.5, 1]]


@st.composite
def tilings(draw):
    grid = draw(st.sampled_from([1, 2, 8]))
    overlap = draw(st.integers(0, 20))
    tile = draw(st.integers(overlap + 2 * grid, 80))
    return draw(st.integers(1, 400)), tile, overlap, grid


@settings(deadline=None)  # a busy machine is no error
@given(tilings())
def test_tiles_cover_a_side_overlap_and_fade_into_each_other(tiling):
    length, tile, overlap, grid = tiling
    spans = tile_spans(length, tile, overlap, grid)
    assert spans[0][0] == 0 and spans[-1][1] == length and all(0 < end - start <= tile for start, end in spans)
    assert all(start % grid == 0 for start, _ in spans) and (len(spans) == 1) == (length <= tile)
    assert all(end - start >= overlap for (start, _), (_, end) in zip(spans[1:], spans, strict=False))
    total = torch.zeros(length)
    for (start, end), weights in zip(spans, tile_weights(spans), strict=True):
        total[start:end] += weights
        assert (weights > 0).all()
    torch.testing.assert_close(total, torch.ones(length))
    if overlap and len(spans) == 2:
        (_, end), (start, _) = spans
        steps = tile_weights(spans)[0][start:end].diff()
        torch.testing.assert_close(steps, torch.full_like(steps, -1 / (end - start)))  # a straight line down


@pytest.mark.parametrize("shape", [(1, 1, 40, 97), (2, 3, 41, 41), (1, 1, 12, 90), (1, 1, 33, 200)])
def test_tiles_of_an_image_give_it_back(shape):
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sizes = []

    def look(part):
        sizes.append(part.shape[-2:])
        return part

    torch.testing.assert_close(map_in_tiles(look, images, 40, 12, 4), images)
    assert len(sizes) > 1 and max(max(size) for size in sizes) <= 40
    assert map_in_tiles(lambda part: part, images, max(shape), 12, 4) is images, "what fits into a tile is not touched"


def test_a_tile_that_is_all_overlap_is_named():
    with pytest.raises(ValueError, match="tile=16: choose more than the overlap of 16 pixels, by at least 4"):
        tile_spans(100, 16, 16, 4)


def test_random_patches_are_pieces_of_the_images_and_depend_on_the_generator_alone():
    images = [torch.arange(100.0).reshape(1, 10, 10), torch.arange(1000.0, 1120.0).reshape(1, 8, 15)]
    first, again = (random_patches(images, 4, 50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    for patch in first:
        start = patch[0, 0, 0].item()
        row_length = 10 if start < 1000 else 15
        expected = start + torch.arange(4.0)[:, None] * row_length + torch.arange(4.0)
        assert torch.equal(patch[0], expected)
    assert (first[:, 0, 0, 0] < 1000).any() and (first[:, 0, 0, 0] >= 1000).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_size_as_one_tensor_give_the_same_patches_as_one_draw_after_the_other(channels):
    """The released weights were trained with these draws: image, row, column, patch after patch."""
    images, generator = torch.randn(7, channels, 13, 21, generator=torch.Generator().manual_seed(0)), torch.Generator().manual_seed(5)
    expected = []
    for _ in range(9):
        number, row, column = (int(torch.randint(high, (), generator=generator)) for high in (7, 13 - 6 + 1, 21 - 6 + 1))
        expected.append(images[number, :, row:row + 6, column:column + 6])
    for given in (images, list(images)):
        assert torch.equal(random_patches(given, 6, 9, torch.Generator().manual_seed(5)), torch.stack(expected))
