"""Clusters of unit vectors."""

import warnings

import numpy as np

from scrimp.routing.learn.maths.kmeans import clusters_of


def bunches(n=60, seed=0):
    """Three bunches about three axes, in turn."""
    rng = np.random.default_rng(seed)
    x = np.eye(8)[np.arange(n) % 3] + 0.1 * rng.normal(size=(n, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_bunches_are_told_apart_and_others_go_with_them():
    mine, others = clusters_of(bunches(), 3, others=bunches(30, seed=1))
    assert len(set(mine.tolist())) == 3
    assert (mine == np.tile(mine[:3], 20)).all()
    assert (others == np.tile(mine[:3], 10)).all()
    assert (clusters_of(bunches(), 3)[0] == mine).all(), "the same seed, the same clusters"


def test_fewer_different_points_than_clusters():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine, _ = clusters_of(np.tile(bunches(2), (5, 1)), 8)
    assert (mine == np.tile(mine[:2], 5)).all()
    assert len(set(mine.tolist())) == 2


def test_nothing_has_no_clusters():
    mine, others = clusters_of(bunches(0), 3)
    assert len(mine) == len(others) == 0
