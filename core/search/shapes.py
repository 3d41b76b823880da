"""Numbers of units and shares of zeros as part of a search space, and which layers may be widened or narrowed.

Units multipliers are AutoQKeras's filter tuning: by layer, or one for the whole network. TensorFlow-free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from core.energy.scaled import multipliers, scaled
from core.errors import CostError, SearchError
from core.model_info import LayerInfo, ModelInfo
from core.quant.recipe import Recipe
from core.search.space import KERNEL, KERNEL_LIKE, SPARSITY, UNITS, Choice, SearchSpace

#: how multipliers are shared: each layer its own, or one for all
LAYER, BLOCK = "layer", "block"
_SIZES = ("units", "filters")
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
_TRIED = (0.5, 2.0)


def with_numbers(space: SearchSpace, info: ModelInfo, units: Sequence[float] = (), sparsity: Sequence[float] = (),
                 frozen: Sequence[str] = (), shared: str = LAYER, exceptions: str = "") -> SearchSpace:
    """A space in which layers may also have other numbers of units, and shares of zeros in their kernels.

    Args:
        units: multipliers; layers whose shape something else depends on keep theirs.
        sparsity: shares of zeros, of each layer with a kernel that the space quantizes.
        frozen: layers to leave as they are.
        shared: LAYER or BLOCK.
        exceptions: layers whose name this pattern matches at its beginning keep their number of units.

    Raises:
        SearchError: a value out of range, or nothing can be scaled.
    """
    _check(units, sparsity, shared)
    choices: list[Choice] = []
    if units:
        names = _without(scalable(info, frozen, shared), exceptions)
        if not names:
            raise SearchError("no layer's number of units can be changed",
                              "every one fixes the shape of an output or of a merge", "Search without units")
        options = tuple(f"{value:g}" for value in dict.fromkeys(map(float, units)))
        choices += [Choice(names[0], UNITS, options, tuple(names[1:]))] if shared == BLOCK else \
            [Choice(name, UNITS, options) for name in names]
    if sparsity:
        options = tuple(f"{value:g}" for value in dict.fromkeys(map(float, sparsity)))
        pruned = dict.fromkeys(c.layer for c in space.quantized if c.parameter in (KERNEL, *KERNEL_LIKE))
        choices += [Choice(name, SPARSITY, options) for name in pruned]
    return msgspec.structs.replace(space, choices=(*space.choices, *choices))


def _check(units: Sequence[float], sparsity: Sequence[float], shared: str) -> None:
    if any(not 0 < value <= 8 for value in units):
        raise SearchError("a units multiplier is out of range", remedy="Give numbers above 0 and up to 8")
    if any(not 0 <= value < 1 for value in sparsity):
        raise SearchError("a sparsity is out of range", remedy="Give numbers from 0 up to, but not, 1")
    if shared not in (LAYER, BLOCK):
        raise SearchError(f"units cannot be tuned by {shared!r}", remedy=f"Use {LAYER} or {BLOCK}")


def _without(names: Sequence[str], exceptions: str) -> list[str]:
    try:
        return [name for name in names if not (exceptions and re.match(exceptions, name))]
    except re.error as error:
        raise SearchError(f"the pattern {exceptions!r} cannot be read", str(error),
                          "Give a regular expression such as ^output") from None


def scalable(info: ModelInfo, frozen: Sequence[str] = (), shared: str = LAYER) -> list[str]:
    """Layers that may have another number of units; by BLOCK, those that may have the same multiplier at once."""
    names = [layer.name for layer in info.layers
             if any(size in layer.config for size in _SIZES) and layer.name not in frozen]
    if shared == BLOCK:
        together = [name for name in names if not _is_last(info, name)]
        if together and _fits(info, together):
            return together
    return [name for name in names if _fits(info, [name])]


def _is_last(info: ModelInfo, name: str) -> bool:
    """True where a layer's number of units is that of an output."""
    return any(found.output_shape != info_layer.output_shape for info_layer, found in _outputs(info, {name: 2.0}))


def _outputs(info: ModelInfo, factors: Mapping[str, float]) -> list[tuple[LayerInfo, LayerInfo]]:
    changed = {layer.name: layer for layer in scaled(info, factors).layers}
    return [(layer, changed[layer.name]) for layer in info.layers if layer.name in info.outputs]


def _fits(info: ModelInfo, names: Sequence[str]) -> bool:
    """True where the model with these layers scaled can be built and gives outputs of the same shape."""
    for factor in _TRIED:
        try:
            changed = scaled(info, dict.fromkeys(names, factor))
        except CostError:
            return False
        before = {layer.name: layer for layer in info.layers}
        if any(not _sound(before[layer.name], layer) for layer in changed.layers):
            return False
        if any(before[name].output_shape != layer.output_shape for layer in changed.layers
               if (name := layer.name) in info.outputs):
            return False
    return True


def _sound(before: LayerInfo, after: LayerInfo) -> bool:
    """True where a layer still takes its inputs."""
    if after.class_name in _MERGES:
        return len(set(after.input_shapes)) == len(set(before.input_shapes))
    if after.class_name == "Reshape":
        return _size(after.input_shapes[0]) == _size(after.output_shape)
    return True


def _size(shape: Sequence[int | None]) -> int:
    product = 1
    for side in shape:
        product *= side or 1
    return product


def shape_of(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    """What tells recipes of other shapes apart; () for the shapes of the float model."""
    return tuple(sorted(multipliers(recipe)))


def of_one_shape(space: SearchSpace) -> SearchSpace:
    """What is left to choose once the numbers of units are."""
    choices = tuple(choice for choice in space.choices if choice.parameter != UNITS)
    return SearchSpace(unscaled(space.base), choices)


def unscaled(recipe: Recipe) -> Recipe:
    """The recipe for a model that has the wanted numbers of units already."""
    layers = {name: msgspec.structs.replace(entry, units_multiplier=1.0) for name, entry in recipe.layers.items()}
    return msgspec.structs.replace(recipe, layers=layers)
