"""EBOPs equal to HGQ2's own figure, layer by layer, on the networks of tests/golden/make_hgq_ebops.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.energy import price
from core.energy.ebops import trained_widths
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_shapes import macs
from core.quant.recipe import LayerRecipe, Recipe

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "hgq_ebops.json"
#: any quantizer; the widths come from HGQ2
EIGHT = "quantized_bits(8,0,alpha=1)"


def networks(path: Path = GOLDEN) -> list[dict]:
    return json.loads(path.read_text())["networks"]


def width(kept: dict) -> np.ndarray:
    k, i, f = (np.array(kept[name]).reshape(kept["shape"]) for name in "kif")
    return trained_widths(i, f, k, kept["overflow"])


def priced(network: dict) -> dict[str, int]:
    """EBOPs of each layer of a golden network, by our price."""
    first = network["layers"][0]
    layers = [LayerInfo(name=first["inbound"][0], class_name="InputLayer",
                        output_shape=tuple(first["input_shapes"][0]))]
    widths, recipes = {}, {}
    for record in network["layers"]:
        class_name = record["class_name"].removeprefix("Q")
        shapes = {name: tuple(shape) for name, shape in record["weights"].items()}
        inputs = tuple(tuple(shape) for shape in record["input_shapes"])
        output = tuple(record["output_shape"])
        layers.append(LayerInfo(
            name=record["name"], class_name=class_name, inbound=tuple(record["inbound"]), input_shapes=inputs,
            output_shape=output, config=record["config"],
            weights=tuple(WeightInfo(parameter=name, shape=shape) for name, shape in shapes.items()),
            macs=macs(class_name, record["config"], inputs, output, shapes)))
        held = {name: width(kept) for name, kept in record.get("widths", {}).items()}
        recipes[record["name"]] = LayerRecipe(quantizers=dict.fromkeys(shapes, EIGHT))
        for number, kept in enumerate(record.get("inputs", ())):
            held[f"input_{number}" if number else "input"] = width(kept)
        # HGQ2 keeps a batch axis in the widths of inputs
        widths[record["name"]] = {name: bits[0] if name.startswith("input") else bits for name, bits in held.items()}
    info = ModelInfo(name=network["name"], layers=tuple(layers), inputs=(layers[0].name,), outputs=(layers[-1].name,))
    report = price(info, Recipe(layers=recipes), widths=widths)
    return {row.name: row.ebops for row in report.rows}


@pytest.mark.parametrize("network", networks(), ids=lambda network: network["name"])
def test_equal_to_hgq2(network):
    found = priced(network)
    said = {record["name"]: record["ebops"] for record in network["layers"] if "ebops" in record}
    assert {name: found[name] for name in said} == said
    assert sum(found.values()) == network["ebops"]


def test_widths_of_hgq2_quantizers():
    # k, i and f of 1, 2, 3: six bits where the lowest value saturates, five where it is cut off or wraps
    assert [float(trained_widths(2, 3, 1, mode)) for mode in ("SAT", "SAT_SYM", "WRAP")] == [6, 5, 5]
    # a value of no bits still keeps its sign under SAT; without a sign there is none
    assert trained_widths(np.array([-4, -4]), np.array([1, 1]), np.array([1, 0]), "SAT").tolist() == [1, 0]
    # trained widths are rounded to the even neighbour
    assert float(trained_widths(0.5, 2.6)) == 3


def _hgq2_python() -> Path | None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _environments import existing

    return existing("hgq2")


@pytest.mark.slow
def test_golden_file_is_what_hgq2_gives_now(tmp_path):
    python = _hgq2_python()
    if python is None:
        pytest.skip("no environment with HGQ2: benchmarks/_environments.py makes one")
    target = tmp_path / "again.json"
    subprocess.run([str(python), str(ROOT / "tests" / "golden" / "make_hgq_ebops.py"), str(target)], check=True,
                   capture_output=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
    for network, kept in zip(networks(target), networks(), strict=True):
        assert network == kept
        assert sum(priced(network).values()) == network["ebops"]
