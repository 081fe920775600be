"""Order of the images: the same for every rank and worker, resumable anywhere, never the same in two epochs."""

import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from densenets.data.sampling import EvalBatches, KeyedBatchSampler, epoch_order, keyed_hash

LENGTHS = range(1, 18)
WORLDS = (1, 2, 3)
BATCHES = (1, 2, 4)


def sampler(length: int, batch: int, position: int, rank: int = 0, world: int = 1, seed: int = 0) -> KeyedBatchSampler:
    """position: batches taken in all epochs so far."""
    steps = len(KeyedBatchSampler(length, batch, seed, lambda: (0, 0), rank, world))
    return KeyedBatchSampler(length, batch, seed, lambda: divmod(position, steps), rank, world)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_ranks_share_an_epoch(world: int, batch: int) -> None:
    for length in LENGTHS:
        ranks = [list(sampler(length, batch, 0, rank, world)) for rank in range(world)]
        steps = {len(batches) for batches in ranks}
        assert steps == {len(sampler(length, batch, 0, 0, world))} == {max(1, length // (batch * world))}
        sizes = {len(keys) for batches in ranks for keys in batches}
        assert sizes == {min(batch, max(1, length // world))}
        drawn = [index for batches in ranks for keys in batches for _, index in keys]
        assert {0 <= index < length for index in drawn} == {True}
        if length >= world:
            assert len(set(drawn)) == len(drawn)  # no image twice
        assert {epoch for batches in ranks for keys in batches for epoch, _ in keys} == {0}


@pytest.mark.parametrize("world", WORLDS)
def test_resumed_anywhere_it_gives_the_tail(world: int) -> None:
    for length, batch in itertools.product(LENGTHS, BATCHES):
        for rank in range(world):
            steps = len(sampler(length, batch, 0, rank, world))
            whole = [keys for epoch in range(3) for keys in sampler(length, batch, epoch * steps, rank, world)]
            for position in range(3 * steps):
                rest = list(sampler(length, batch, position, rank, world))
                end = (position // steps + 1) * steps
                assert rest == whole[position:end]


def test_position_is_read_when_the_iterator_is_made() -> None:
    taken = (0, 0)
    sampler = KeyedBatchSampler(8, 2, 0, lambda: taken)
    first = iter(sampler)
    taken = (1, 0)
    second = iter(sampler)
    taken = (99, 0)
    assert {epoch for keys in first for epoch, _ in keys} == {0}
    assert {epoch for keys in second for epoch, _ in keys} == {1}


def test_an_epoch_whose_last_batch_is_taken_gives_nothing_more() -> None:
    assert list(KeyedBatchSampler(8, 2, 0, lambda: (3, 4))) == []


def test_an_abandoned_iterator_changes_nothing() -> None:
    one = sampler(9, 2, 0)
    next(iter(one))
    assert list(one) == list(sampler(9, 2, 0))


def test_order_depends_on_seed_and_epoch() -> None:
    orders = {tuple(epoch_order(40, seed, epoch)) for seed in range(5) for epoch in range(20)}
    assert len(orders) == 100
    assert all(sorted(order) == list(range(40)) for order in orders)


def test_every_image_comes_first_equally_often() -> None:
    firsts = [int(epoch_order(4, 0, epoch)[0]) for epoch in range(2000)]
    assert all(420 < firsts.count(index) < 580 for index in range(4))


def shards(sizes: list[tuple[int, int]], world: int, batch: int, left_out: Collection[int] = ()) -> list[Any]:
    return [EvalBatches(sizes, batch).of(rank, world, left_out) for rank in range(world)]


def test_evaluation_sees_each_image_once_in_as_many_batches_on_every_rank() -> None:
    rng = np.random.default_rng(0)
    for length, world, batch, kinds in itertools.product((0, 1, 2, 5, 8, 17), (1, 2, 3), (1, 4), (1, 2, 9)):
        sizes = [(8, 8 + int(kind)) for kind in rng.integers(0, kinds, length)]
        left_out = range(0, length, 3)
        for without in ((), left_out):
            ranks = shards(sizes, world, batch, without)
            assert len({len(rank) for rank in ranks}) == 1
            assert len(ranks[0]) >= 1
            assert all(len(keys) <= batch for rank in ranks for keys in rank)
            assert all(len({sizes[index] for _, index in keys}) <= 1 for rank in ranks for keys in rank)
            seen = sorted(index for rank in ranks for keys in rank for _, index in keys)
            assert seen == sorted(set(range(length)) - set(without))


def test_images_of_one_size_are_dealt_out_in_turn() -> None:
    assert shards([(8, 8)] * 7, 2, 3) == [[[(0, 0), (0, 2), (0, 4)], [(0, 6)]], [[(0, 1), (0, 3), (0, 5)], []]]


def test_a_rare_size_makes_small_batches_which_all_ranks_share() -> None:
    sizes = [(8, 8)] * 4 + [(8, 9 + i) for i in range(6)]
    assert EvalBatches(sizes, 4).fill == {(8, 8): 4, **{(8, 9 + i): 1 for i in range(6)}}
    assert {len(rank) for rank in shards(sizes, 2, 4)} == {4}


def test_hash_is_the_same_everywhere_and_tells_keys_apart() -> None:
    assert keyed_hash(0, 0, 42) == 4731382786723255071  # blake2b of 0, 0 and 42 as 8 bytes each, lowest first
    keys = [(1,), (1, 0), (0, 1), (-1,), (1, 0, 0), (2**62,), (1, 1)]
    assert len({keyed_hash(*key) for key in keys}) == len(keys)
    assert all(0 <= keyed_hash(*key) < 2**64 for key in keys)
