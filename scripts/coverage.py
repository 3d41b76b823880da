"""Writes docs/coverage.md: what each layer class can do with each quantizer kind, found by doing it.

    .venv/bin/python scripts/coverage.py [docs/coverage.md]
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

from core.errors import QuantiscopeError
from core.hls.network import logits_model, read_network
from core.hls.rtl_alkaid import trace_network
from core.model_info import EXTRAS, PARAMETERS
from core.model_io import load_model
from core.quant import Recipe, predict, quantize
from core.quant.recipe import OUTPUT, LayerRecipe
from core.quant.samples import ON_OUTPUTS, ON_WEIGHTS, OTHERWISE, SAMPLES, SOURCE, events_for, sample
from core.quant.spec import KINDS


def quantized(name: str, texts: dict[str, str]) -> keras.Model:
    """The sample of a class, quantized by a recipe."""
    return quantize(sample(name), Recipe(layers={"tested": LayerRecipe(quantizers=texts)}, input=SOURCE))


def trains(model: keras.Model) -> bool:
    """One step of gradient descent changes the weights to finite values, or passes a gradient where there are none."""
    events = tf.constant(events_for(model))
    with tf.GradientTape() as tape:
        tape.watch(events)
        loss = tf.reduce_sum(tf.square(model(events, training=True) - 1.0))
    weights = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in weights] or [events])
    found = [g.numpy() for g in gradients if g is not None]
    return bool(found) and all(np.isfinite(g).all() for g in found) and any(np.abs(g).max() > 0 for g in found)


def same_after_saving(model: keras.Model) -> bool:
    """Saved and read back it computes the same."""
    events = events_for(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return bool(np.array_equal(predict(load_model(Path(folder) / "model.keras"), events), predict(model, events)))


def exported_exactly(model: keras.Model) -> bool:
    """The RTL flow's logic gives the values of Keras in double precision on every event; False where it is refused."""
    events = events_for(model)
    try:
        logic = trace_network(read_network(model))
    except QuantiscopeError:
        return False
    reference = predict(logits_model(model)[0], events, "float64").reshape(len(events), -1)
    entry = next(layer for layer in model.layers if layer.name == "x_quantizer").output_quantizer
    found = np.asarray(logic.predict(np.asarray(entry(events.astype(np.float64))).reshape(len(events), -1)))
    return bool(np.array_equal(found.reshape(len(events), -1), reference))


def cell(name: str, texts: dict[str, str], random: bool) -> str:
    """Marks of what works: Q quantized, T trained, S saved and read back, E exported bit for bit; or the reason."""
    try:
        model = quantized(name, texts)
    except QuantiscopeError as error:
        return f"refused: {error.what}"
    layer: Any = model.get_layer("tested")
    outputs = predict(model, events_for(model))
    marks = "Q" if np.isfinite(outputs).all() and set(texts) <= set(layer.quantizers) else ""
    marks += "T" if trains(model) else ""
    marks += "" if random or not same_after_saving(model) else "S"
    return marks + ("E" if not random and exported_exactly(model) else "")


def rows() -> list[list[str]]:
    """One row a class and place (weights or output), one column a kind."""
    table = []
    for name in SAMPLES:
        held = [p for p in SAMPLES[name][2] if p in PARAMETERS.get(name, ()) and p not in ("mean", "variance")]
        inside = {p: OTHERWISE[p] for p in (*SAMPLES[name][2], *EXTRAS.get(name, ())) if p in OTHERWISE}
        if held:
            marks = [cell(name, {**inside, **dict.fromkeys(held, ON_WEIGHTS[kind])}, kind == "bernoulli")
                     if kind in ON_WEIGHTS else "" for kind in KINDS]
            table.append([f"{name}: {', '.join(held)}", *marks])
        plain = {**inside, **dict.fromkeys(held, ON_WEIGHTS["quantized_bits"])}
        marks = [cell(name, {**plain, OUTPUT: ON_OUTPUTS[kind]}, kind == "bernoulli") for kind in KINDS]
        table.append([f"{name}: output", *marks])
    return table


def page(table: list[list[str]]) -> str:
    """The page in Markdown."""
    head = f"""# Layer classes and quantizer kinds

Written by `.venv/bin/python scripts/coverage.py` on {date.today().isoformat()}; every mark is of something done then.

**Q** quantized (weights, or output), **T** a training step gives finite gradients that are not all 0, **S** saved as
`.keras` and read back to equal predictions, **E** exported bit for bit: the logic of the RTL flow gives the values of
Keras in double precision on every event. No **E** means that this pair is refused on export, or not exported yet.
In the rows
of outputs the weights have quantized_bits; inside recurrent layers stand
quantized_tanh and quantized_sigmoid. `bernoulli` is random at inference too, so neither S nor E can be asked
of it. An empty cell: the kind is an activation function and not for weights.

Layers that only move values (Flatten, Reshape, Permute, RepeatVector, pooling by maximum, UpSampling, ZeroPadding,
Cropping, Dropout) pass through. AdaptiveActivation is both activation and quantizer and has no columns of its own.
"""
    lines = ["| class | " + " | ".join(f"`{kind}`" for kind in KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    return head + "\n" + "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in table)]) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/coverage.md")
    target.write_text(page(rows()))
    print(f"wrote {target}")
