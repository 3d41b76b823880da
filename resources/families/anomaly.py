"""Events for anomaly detection: 19 objects with pt, eta, phi; background has two balanced jets, the signal many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PROVENANCE = "generated: events of 19 objects; background like two balanced jets, signal like a decay to many"
OBJECTS, FEATURES, LATENT = 19, 57, 3
#: missing energy, electrons and muons, then jets; a missing object is three zeros
_LEPTONS, _JETS = slice(1, 9), slice(9, 19)
_JET_COUNT, _DECAY = 10, 6
#: share of the signal among the events
SIGNAL_SHARE = 0.2
#: pt keeps most of the spread, as in units of the trigger
_SCALES = (1.0, 4.0, 2 * np.pi)
#: where the field is asked: near the events its length is how far it would move one to make it more likely
SCORE_TIME = 0.9


def events(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(count, 57) scaled inputs and 0 for background, 1 for signal (one event in five).

    pt is in units of 100 GeV and phi counts from opposite the leading jet, in (-pi, pi], before scaling.
    """
    random = np.random.default_rng(seed)
    labels = (random.random(count) < SIGNAL_SHARE).astype(np.int64)
    background, signal = _two_jets(random, count), _many_jets(random, count)
    objects = np.where(labels[:, None, None] == 1, signal, background)
    order = np.argsort(-objects[:, _JETS, 0], axis=1, kind="stable")
    objects[:, _JETS] = np.take_along_axis(objects[:, _JETS], order[..., None], axis=1)
    turned = (objects[..., 2] - objects[:, 9:10, 2]) % (2 * np.pi) - np.pi
    objects[..., 2] = turned
    objects *= objects[..., :1] > 0
    return (objects / _SCALES).reshape(count, FEATURES).astype(np.float32), labels


def _two_jets(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(count, 19, 3): two jets that balance, softer ones and rare leptons near them, missing energy along them."""
    objects = np.zeros((count, OBJECTS, 3))
    hard = 1 + random.exponential(1.0, count)
    axis = np.stack([random.normal(0, 1.0, (count, 2)), np.broadcast_to([0.0, np.pi], (count, 2))], axis=-1)
    axis[..., 1] += random.normal(0, 0.1, (count, 2))
    balance = 1 - 0.3 * random.random(count)
    objects[:, 9], objects[:, 10] = _object(hard, axis[:, 0]), _object(hard * balance, axis[:, 1])
    soft = 0.25 * hard[:, None] * 0.75 ** np.arange(_JET_COUNT - 2) * random.exponential(1.0, (count, _JET_COUNT - 2))
    objects[:, 11:19] = _near(random, axis, soft * (soft > 0.15), 0.4)
    lepton = 0.1 * hard[:, None] * random.exponential(1.0, (count, 8)) * (random.random((count, 8)) < 0.05)
    objects[:, _LEPTONS] = _near(random, axis, lepton, 0.2)
    objects[:, 0] = _object(hard * (1 - balance) + random.exponential(0.1, count), axis[:, 1] * (0, 1))
    return objects


def _many_jets(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(count, 19, 3): six jets of like pt, one or more leptons and missing energy, all in any direction."""
    objects = np.zeros((count, OBJECTS, 3))
    hard = 1.6 + random.exponential(0.8, count)
    share = random.uniform(0.3, 1.0, (count, _DECAY))
    lepton = 0.5 * hard[:, None] * random.random((count, 8)) * (random.random((count, 8)) < 0.15)
    pt = np.concatenate([0.6 * (hard * random.random(count))[:, None], lepton, hard[:, None] * share], axis=1)
    objects[:, : 9 + _DECAY, 0] = pt
    objects[:, : 9 + _DECAY, 1] = random.normal(0, 0.8, pt.shape) * (np.arange(pt.shape[1]) > 0)
    objects[:, : 9 + _DECAY, 2] = random.uniform(-np.pi, np.pi, pt.shape)
    return objects


def _object(pt: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """(count, 3) of pt (count,) and (eta, phi) (count, 2)."""
    return np.concatenate([pt[:, None], direction], axis=1)


def _near(random: np.random.Generator, axis: NDArray[np.float64], pt: NDArray[np.float64],
          width: float) -> NDArray[np.float64]:
    """(count, n, 3): objects of these pt (count, n), each around one of two axes (count, 2, 2)."""
    side = random.integers(0, 2, pt.shape)
    around = np.take_along_axis(axis, np.broadcast_to(side[..., None], (*pt.shape, 2)), axis=1)
    return np.concatenate([pt[..., None], around + random.normal(0, width, (*pt.shape, 2))], axis=-1)


def timed_events(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """As `events`, with the time at which a flow's field is asked for the score as the last value: (count, 58)."""
    x, y = events(count, seed)
    return np.concatenate([x, np.full((count, 1), SCORE_TIME, np.float32)], axis=1), y


def event_images(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """As `events`, as a picture (count, 19, 3, 1)."""
    x, y = events(count, seed)
    return x.reshape(count, OBJECTS, 3, 1), y


def dense_autoencoder() -> Any:
    """57-32-16-3-16-32-57."""
    from keras import Input, Model, layers

    x = tensor = Input((FEATURES,), name="event")
    for name, units in (("enc1", 32), ("enc2", 16), ("latent", LATENT), ("dec1", 16), ("dec2", 32)):
        tensor = layers.Dense(units, name=name)(tensor)
        if name != "latent":
            tensor = layers.Activation("relu", name=f"{name}_relu")(tensor)
    return Model(x, layers.Dense(FEATURES, name="output")(tensor), name="dense_autoencoder")


def conv_autoencoder() -> Any:
    """Convolutions over the 19 x 3 picture to 8 numbers and back."""
    from keras import Input, Model, layers

    x = Input((OBJECTS, 3, 1), name="event")
    tensor = layers.ZeroPadding2D(((0, 1), (0, 0)), name="pad")(x)
    tensor = layers.Conv2D(8, (3, 3), name="conv1")(tensor)
    tensor = layers.Activation("relu", name="conv1_relu")(tensor)
    tensor = layers.AveragePooling2D((3, 1), name="pool")(tensor)
    tensor = layers.Flatten(name="flat")(tensor)
    tensor = layers.Dense(8, name="latent")(tensor)
    tensor = layers.Dense(48, name="dec1")(tensor)
    tensor = layers.Activation("relu", name="dec1_relu")(tensor)
    tensor = layers.Reshape((6, 1, 8), name="picture")(tensor)
    tensor = layers.Conv2DTranspose(8, (3, 3), strides=(3, 1), name="deconv")(tensor)
    tensor = layers.Activation("relu", name="deconv_relu")(tensor)
    tensor = layers.ZeroPadding2D(((0, 1), (0, 0)), name="pad_out")(tensor)
    return Model(x, layers.Conv2D(1, (1, 1), name="output")(tensor), name="conv_autoencoder")


def encoder() -> Any:
    """Encoder to mean and log variance of 3 latent numbers (concatenated), what the trigger runs."""
    from keras import Input, Model, layers

    x = tensor = Input((FEATURES,), name="event")
    for name, units in (("enc1", 32), ("enc2", 16)):
        tensor = layers.Dense(units, name=name)(tensor)
        tensor = layers.Activation("relu", name=f"{name}_relu")(tensor)
    mean = layers.Dense(LATENT, name="mean")(tensor)
    log_variance = layers.Dense(LATENT, name="log_variance")(tensor)
    return Model(x, layers.Concatenate(name="latent")([mean, log_variance]), name="vae")


def vector_field() -> Any:
    """The velocity of a flow from noise to events at (event, time): 58-64-32-57."""
    from keras import Input, Model, layers

    x = tensor = Input((FEATURES + 1,), name="event_and_time")
    for name, units in (("field1", 64), ("field2", 32)):
        tensor = layers.Dense(units, name=name)(tensor)
        tensor = layers.Activation("relu", name=f"{name}_relu")(tensor)
    return Model(x, layers.Dense(FEATURES, name="output")(tensor), name="flow")
