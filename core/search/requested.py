"""The search space that a request describes, and groups of layers with quantizers of their own. TensorFlow-free."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core.errors import SearchError
from core.model_info import LayerInfo, ModelInfo
from core.quant.recipe import Recipe
from core.requests import Search
from core.search.autoqkeras import autoqkeras_space
from core.search.shapes import with_numbers
from core.search.space import KERNEL, KERNEL_LIKE, Choice, SearchSpace, build_space, check_options, fitting

#: pattern of layer names -> parameter type -> quantizer strings; none: that parameter keeps the base recipe
Groups = Mapping[str, Mapping[str, Sequence[str]]]


def space_of(info: ModelInfo, base: Recipe, request: Search) -> SearchSpace:
    """The request's space, open integer bits as they are; AutoQKeras's settings come before options and groups.

    Raises:
        SearchError: nothing is left to choose, or a layer, type, option or pattern does not fit.
        QuantizerError: an option is not a quantizer.
    """
    if request.quantization_config or request.limit:
        space = autoqkeras_space(info, base, request.quantization_config, request.limit, request.frozen)
    else:
        space = grouped(build_space(info, base, request.options, request.frozen), info, request.groups,
                        request.frozen)
    return with_numbers(space, info, request.units, request.sparsity, request.frozen, request.tune_units,
                        request.exceptions)


def grouped(space: SearchSpace, info: ModelInfo, groups: Groups, frozen: Sequence[str] = ()) -> SearchSpace:
    """A space in which the layers of a group may take quantizers of their own.

    Args:
        space: what all other layers may take.
        info: the model.
        groups: the first pattern that matches the beginning of a layer's name and names the parameter's type
            holds; kernels of other kinds take the options of "kernel".
        frozen: layers to leave as they are.

    Raises:
        SearchError: a pattern that cannot be read or matches no layer, a type that is none, or nothing is left.
        QuantizerError: an option is not a quantizer.
    """
    if not groups:
        return space
    for pattern, options in groups.items():
        check_options({parameter: texts for parameter, texts in options.items() if texts})
        if not any(_matches(pattern, layer) for layer in info.layers if layer.quantizable):
            raise SearchError(f"the group {pattern!r} names no layer",
                              remedy=f"The model's layers are: {', '.join(info.layer_names)}")
    known = {(choice.layer, choice.parameter): choice for choice in space.choices}
    choices = []
    for layer in info.layers:
        for parameter in layer.quantizable if layer.name not in frozen else ():
            texts = _own(layer, parameter, groups)
            choice = known.get((layer.name, parameter))
            if texts is not None:
                kept = fitting(layer, parameter, texts)
                choice = Choice(layer.name, parameter, kept) if kept else None
            if choice is not None:
                choices.append(choice)
    if not choices:
        raise SearchError("the search space is empty", "the groups leave no layer anything to choose",
                          "Give a group quantizers to choose from")
    return SearchSpace(space.base, tuple(choices))


def _own(layer: LayerInfo, parameter: str, groups: Groups) -> Sequence[str] | None:
    """The options that the groups give to a parameter of a layer; None where they say nothing."""
    wanted = (parameter, KERNEL) if parameter in KERNEL_LIKE else (parameter,)
    return next((options[name] for pattern, options in groups.items() if _matches(pattern, layer)
                 for name in wanted if name in options), None)


def _matches(pattern: str, layer: LayerInfo) -> bool:
    try:
        return bool(re.match(pattern, layer.name))
    except re.error as error:
        raise SearchError(f"the group {pattern!r} cannot be read", str(error),
                          "Give a layer's name, or a regular expression such as fc[12]") from None
