"""The largest entries of rows, found by blocks."""

import pytest
import torch

from service.nets.largest import BLOCK, MAX_COUNT, MIN_WIDTH, largest

WIDTHS = (10, MIN_WIDTH - 1, MIN_WIDTH, MIN_WIDTH + 1, MIN_WIDTH + BLOCK - 1, 50_257)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 7, MAX_COUNT, MAX_COUNT + 1])
def test_they_are_the_first_of_the_sorted_row(width: int, count: int) -> None:
    rows = torch.randn(5, width, generator=torch.Generator().manual_seed(width + count))
    values, indices = largest(rows, min(count, width))
    expected = rows.sort(1, descending=True)
    assert torch.equal(values, expected.values[:, :count])
    assert torch.equal(indices, expected.indices[:, :count])


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, MIN_WIDTH - 1, MIN_WIDTH, MIN_WIDTH + 5])
def test_a_single_large_value_is_found_at_any_place(place: int) -> None:
    rows = torch.zeros(1, MIN_WIDTH + 6)
    rows[0, place] = 1.0
    assert largest(rows, 1)[1].item() == place


def test_large_values_of_one_block_are_found_together() -> None:
    rows = torch.zeros(1, MIN_WIDTH)
    rows[0, 2 * BLOCK : 2 * BLOCK + 9] = torch.arange(1.0, 10.0)
    assert largest(rows, 9)[1].tolist() == [[2 * BLOCK + index for index in reversed(range(9))]]


def test_impossible_entries_are_the_last() -> None:
    rows = torch.full((1, MIN_WIDTH), -torch.inf)
    rows[0, 5000] = -2.0
    values, indices = largest(rows, 3)
    assert values.tolist() == [[-2.0, -torch.inf, -torch.inf]]
    assert len(set(indices[0].tolist())) == 3


def test_equal_values_of_a_row_are_chosen_alike_alone_and_beside_others() -> None:
    rows = torch.randint(0, 3, (16, MIN_WIDTH), generator=torch.Generator().manual_seed(7)).float()
    together = largest(rows, 8)[1]
    assert all(torch.equal(largest(row[None], 8)[1][0], own) for row, own in zip(rows, together, strict=True))
