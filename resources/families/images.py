"""Pictures: digits over a busy background, and simple road scenes to segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: seven-segment strokes of each digit in a 7 x 5 cell: top, left-top, right-top, middle, left-low, right-low, bottom
_SEGMENTS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111",
             "1111011")
SIDE = 32
DIGITS = "generated: one seven-segment digit a picture, in any colour, size and place, on noise"
REGIONS = ("sky", "road", "car", "ground")
SCENES = "generated: road scenes of four coloured regions with noise"


def _glyph(digit: int) -> NDArray[np.float32]:
    on = [s == "1" for s in _SEGMENTS[digit]]
    cell = np.zeros((7, 5), np.float32)
    rows = (slice(0, 1), slice(0, 4), slice(0, 4), slice(3, 4), slice(3, 7), slice(3, 7), slice(6, 7))
    columns = (slice(0, 5), slice(0, 1), slice(4, 5), slice(0, 5), slice(0, 1), slice(4, 5), slice(0, 5))
    for lit, row, column in zip(on, rows, columns, strict=True):
        if lit:
            cell[row, column] = 1
    return cell


def digits(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` colour pictures (count, 32, 32, 3) in [0, 1]: one digit of any place, size and colour on noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    pictures = np.empty((count, SIDE, SIDE, 3), np.float32)
    for index, digit in enumerate(labels):
        size = int(random.integers(2, 5))
        glyph = np.kron(_glyph(int(digit)), np.ones((size, size), np.float32))
        top = int(random.integers(0, SIDE - glyph.shape[0] + 1))
        left = int(random.integers(0, SIDE - glyph.shape[1] + 1))
        back, ink = random.uniform(0, 1, (2, 3)).astype(np.float32)
        ink = np.where(np.abs(ink - back).max() < 0.35, (back + 0.5) % 1, ink).astype(np.float32)
        mask = np.zeros((SIDE, SIDE, 1), np.float32)
        mask[top:top + glyph.shape[0], left:left + glyph.shape[1], 0] = glyph
        pictures[index] = back + mask * (ink - back)
    pictures += random.normal(0, 0.08, pictures.shape).astype(np.float32)
    return _eight_bits(pictures), labels.astype(np.int64)


def digits_cnn() -> Any:
    """Three 3x3 convolutions (16, 16, 24 filters) with pooling, dense 42 and 64, 10 classes."""
    from keras import Input, Model, layers

    x = tensor = Input((SIDE, SIDE, 3), name="picture")
    for index, filters in enumerate((16, 16, 24), start=1):
        tensor = layers.Conv2D(filters, 3, use_bias=False, name=f"conv{index}")(tensor)
        tensor = layers.BatchNormalization(momentum=0.9, name=f"bn{index}")(tensor)
        tensor = layers.Activation("relu", name=f"conv_relu{index}")(tensor)
        tensor = layers.MaxPooling2D(2, name=f"pool{index}")(tensor)
    tensor = layers.Flatten(name="flat")(tensor)
    for index, units in enumerate((42, 64), start=1):
        tensor = layers.Dense(units, name=f"fc{index}")(tensor)
        tensor = layers.Activation("relu", name=f"fc_relu{index}")(tensor)
    tensor = layers.Dense(10, name="output")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name="digits_cnn")


def scenes(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` road scenes (count, 16, 32, 3) and the class of each pixel (count, 16, 32): sky, road, car, ground."""
    random = np.random.default_rng(seed)
    height, width = 16, 32
    rows, columns = np.mgrid[0:height, 0:width]
    colours = np.array([[0.5, 0.7, 0.9], [0.4, 0.4, 0.42], [0.7, 0.2, 0.2], [0.3, 0.5, 0.2]], np.float32)
    labels = np.empty((count, height, width), np.int64)
    for index in range(count):
        horizon = random.integers(4, 8)
        centre = random.uniform(10, 22)
        half = 2 + (rows - horizon) * random.uniform(0.7, 1.3)
        scene = np.where(rows < horizon, 0, np.where(np.abs(columns - centre) < half, 1, 3))
        top, left = random.integers(horizon, height - 4), int(centre + random.uniform(-5, 3))
        size = 2 + (top - horizon) // 2
        scene[top:top + size, max(left, 0):max(left, 0) + 2 * size] = 2
        labels[index] = scene
    tint = random.normal(0, 0.08, (count, 1, 1, 3))
    noise = random.normal(0, 0.08, (count, height, width, 3))
    return _eight_bits(colours[labels] + tint + noise), labels


def _eight_bits(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels in [0, 1], rounded to 256 levels as a camera gives them."""
    return np.round(np.clip(pictures, 0, 1) * 255).astype(np.float32) / np.float32(255)


def encoder_decoder() -> Any:
    """A small encoder-decoder with a skip connection: 4 classes for each of 16 x 32 pixels."""
    from keras import Input, Model, layers

    x = Input((16, 32, 3), name="picture")
    first = _convolution(x, 8, "enc1")
    deep = _convolution(layers.MaxPooling2D(2, name="down1")(first), 16, "enc2")
    deep = _convolution(layers.MaxPooling2D(2, name="down2")(deep), 16, "bottleneck")
    deep = _convolution(layers.UpSampling2D(2, name="up2")(deep), 16, "dec2")
    deep = layers.UpSampling2D(2, name="up1")(deep)
    tensor = _convolution(layers.Concatenate(name="skip")([first, deep]), 8, "dec1")
    tensor = layers.Conv2D(4, 1, name="output")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name="segmentation")


def _convolution(tensor: Any, filters: int, name: str) -> Any:
    from keras import layers

    tensor = layers.Conv2D(filters, 3, padding="same", name=name)(tensor)
    return layers.Activation("relu", name=f"{name}_relu")(tensor)
