"""Predictions for many prompts, a part at a time: every field is that of all at once."""

from dataclasses import fields

import numpy as np

from scrimp.routing.learn.data.decisions import predict_in_parts
from scrimp.routing.router.arms import ArmInfo, Predictions

ARMS = [ArmInfo(name="a", model="x/a"), ArmInfo(name="b", model="x/b")]


class Telling:
    """A router whose predictions tell the rows apart."""

    version, embedder_id, note = "telling", "none", None

    def predict(self, embeddings, surface, arms):
        each = surface[:, :1] + np.arange(len(arms)) / 10
        return Predictions(
            quality=each,
            quality_low=each - 0.01,
            quality_high=each + 0.01,
            basis=("prior", "calibrated"),
            rests_on=("judged difficulty", "your outcomes"),
            output_tokens_p50=each * 100,
            output_tokens_p90=each * 200,
            ood=surface[:, 0] / 2,
            level=np.where(surface[:, 0] > 0.5, np.nan, 1 + surface[:, 0]),
        )


def test_parts_make_the_whole():
    surface = np.linspace(0.0, 0.9, 7)[:, None]
    embeddings = np.zeros((7, 3), np.float32)
    whole = Telling().predict(embeddings, surface, ARMS)
    parts = predict_in_parts(Telling(), embeddings, surface, ARMS, part=3)
    for field in fields(Predictions):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(whole, field.name), err_msg=field.name)
