import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from radar_nb.patches import cut_patches, merge_patches, patch_starts, random_patches


@st.composite
def layouts(draw):
    size = draw(st.integers(1, 12))
    stride = draw(st.integers(1, size))
    return size, stride, draw(st.integers(size, 40)), draw(st.integers(size, 40)), draw(st.sampled_from([1, 3])), draw(st.integers(1, 3))


@given(layouts())
def test_cut_then_merge_is_the_identity(layout):
    size, stride, height, width, channels, count = layout
    images = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(0))
    patches = cut_patches(images, size, stride)
    assert patches.shape[2:] == (channels, size, size)
    torch.testing.assert_close(merge_patches(patches, height, width, stride), images)


@given(layouts())
def test_patches_cover_every_pixel_and_stay_inside(layout):
    size, stride, length, *_ = layout
    starts = patch_starts(length, size, stride)
    assert {pixel for start in starts for pixel in range(start, start + size)} == set(range(length))


@pytest.mark.parametrize(("length", "size", "stride", "named"), [(8, 9, 1, "size=9"), (8, 4, 5, "stride=5"), (8, 4, 0, "stride=0")])
def test_impossible_layouts_are_named(length, size, stride, named):
    with pytest.raises(ValueError, match=named):
        patch_starts(length, size, stride)


def test_overlapping_pixels_are_averaged():
    patches = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])[None]  # two patches on a 2 x 3 image
    merged = merge_patches(patches, 2, 3, stride=1)
    assert merged[0, 0].tolist() == [[0, 0.5, 1], [0, 0.5, 1]]


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
