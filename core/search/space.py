"""The search space: for each parameter of each layer, the quantizers it may take. numpy-free, TensorFlow-free.

An option that leaves out its integer bits, such as "quantized_bits(6,alpha=1)" or "quantized_relu(6)",
is open: calibration chooses them for each layer. One that names them is taken as written.
"""

from __future__ import annotations

import ast
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from core.errors import QuantizerError, SearchError
from core.model_info import ACTIVATIONS, LayerInfo, ModelInfo
from core.quant.quantizers import REPLACES
from core.quant.recipe import OUTPUT, LayerRecipe, Recipe, merged
from core.quant.spec import QuantizerSpec, parse

RELU_KINDS = frozenset({"quantized_relu", "quantized_relu_po2"})
OUTPUT_ONLY = RELU_KINDS | {"quantized_tanh", "quantized_sigmoid", "quantized_hswish"}
KERNEL = "kernel"
#: where a quantizer may be the activation itself
STANDING = frozenset({OUTPUT, "activation", "recurrent_activation"})
#: parameter types that take the options of "kernel" when they have none of their own
KERNEL_LIKE = ("recurrent_kernel", "depthwise", "pointwise")
PARAMETER_TYPES = (KERNEL, *KERNEL_LIKE, "bias", "gamma", "beta", "mean", "variance", OUTPUT)
#: what of a layer may be chosen beside quantizers, as numbers: multiplier of its units or filters, share of zeros
UNITS, SPARSITY = "units", "sparsity"
NUMBERS = {UNITS: "units_multiplier", SPARSITY: "sparsity"}
_WIDTHS = {"binary": 1, "stochastic_binary": 1, "bernoulli": 1, "ternary": 2, "stochastic_ternary": 2}

#: (layer, parameter, spec) -> integer bits
IntegerChooser = Callable[[str, str, QuantizerSpec], int]


def default_options() -> dict[str, list[str]]:
    """The default space: every width from 2 to 8 bits, and ternary, binary and power-of-two kernels.

    Binary and ternary values are scaled by a power of two per output channel, which costs no multiplier.
    """
    widths = range(2, 9)
    return {
        KERNEL: [f"quantized_bits({bits},alpha=1)" for bits in widths]
        + ["ternary(alpha='auto_po2')", "binary(alpha='auto_po2')", "quantized_po2(4)"],
        "bias": [f"quantized_bits({bits},alpha=1)" for bits in (4, 6, 8)],
        OUTPUT: [f"quantized_relu({bits})" for bits in widths] + [f"quantized_bits({bits},alpha=1)" for bits in widths],
    }


def is_open(text: str) -> bool:
    """True where a quantizer string leaves its integer bits to calibration."""
    spec = parse(text)
    if "integer" not in spec.arguments:
        return False
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.Name):
        return True
    assert isinstance(node, ast.Call)  # parse() has accepted it
    place = list(spec.arguments).index("integer")
    return len(node.args) <= place and all(keyword.arg != "integer" for keyword in node.keywords)


def width_of(text: str) -> int:
    """Bits of one value under a quantizer string."""
    spec = parse(text)
    return int(spec.get("bits") or _WIDTHS.get(spec.kind, 8))


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The quantizer strings one parameter of one layer may take; of NUMBERS, the numbers as strings.

    `also` are further layers that take the same number.
    """

    layer: str
    parameter: str
    options: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """True for a number of the layer, False for a quantizer."""
        return self.parameter in NUMBERS

    @property
    def numbers(self) -> list[float]:
        """The options of a number."""
        return [float(text) for text in self.options]

    @property
    def key(self) -> str:
        """Name of this dimension: "layer.parameter"."""
        return f"{self.layer}.{self.parameter}"


class SearchSpace(msgspec.Struct, frozen=True):
    """All choices over a base recipe, which keeps whatever is not chosen."""

    base: Recipe
    choices: tuple[Choice, ...]

    @property
    def size(self) -> int:
        """Number of recipes in the space."""
        return math.prod(len(choice.options) for choice in self.choices)

    @property
    def quantized(self) -> tuple[Choice, ...]:
        """The choices that are of quantizers."""
        return tuple(choice for choice in self.choices if not choice.is_number)

    @property
    def has_open(self) -> bool:
        """True while some option waits for its integer bits."""
        return any(is_open(text) for choice in self.quantized for text in choice.options)

    def varies(self, number: str) -> bool:
        """True where a number (UNITS or SPARSITY) is not that of the float model in every recipe."""
        plain = 1.0 if number == UNITS else 0.0
        return any(getattr(entry, NUMBERS[number]) != plain for entry in self.base.layers.values()) \
            or any(value != plain for c in self.choices if c.parameter == number for value in c.numbers)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that are the same for the same space."""
        fixed = msgspec.structs.replace(self.decode({}), name="")
        data = msgspec.json.encode([fixed, self.choices], order="sorted")
        return hashlib.sha256(data).hexdigest()[:12]

    def decode(self, values: Mapping[str, int], name: str = "candidate") -> Recipe:
        """The recipe for option numbers by choice key; a key left out takes option 0."""
        changes = {(c.layer, c.parameter): c.options[values.get(c.key, 0)] for c in self.quantized}
        recipe = merged(self.base, changes, name)
        for choice in self.choices:
            if choice.is_number:
                value = {NUMBERS[choice.parameter]: choice.numbers[values.get(choice.key, 0)]}
                for layer in (choice.layer, *choice.also):
                    entry = recipe.layers.get(layer, LayerRecipe())
                    recipe = recipe.with_layer(layer, msgspec.structs.replace(entry, **value))
        return recipe

    def encode(self, recipe: Recipe) -> dict[str, int] | None:
        """Option numbers by choice key, or None where the recipe is not in this space."""
        values: dict[str, int] = {}
        for choice in self.quantized:
            text = recipe.text(choice.layer, choice.parameter)
            specs = list(map(parse, choice.options))
            if text is None or parse(text) not in specs:
                return None
            values[choice.key] = specs.index(parse(text))
        for choice in self.choices:
            if choice.is_number:
                number = getattr(recipe.layers.get(choice.layer, LayerRecipe()), NUMBERS[choice.parameter])
                if number not in choice.numbers:
                    return None
                values[choice.key] = choice.numbers.index(number)
        found = self.decode(values)
        return values if not found.differences(recipe) and _beside(found) == _beside(recipe) else None

    def uniform(self, bits: int) -> dict[str, int]:
        """The point nearest to one width everywhere, fixed point preferred, with the base recipe's numbers."""
        def distance(text: str) -> tuple[int, bool]:
            return abs(width_of(text) - bits), "integer" not in parse(text).arguments

        def nearest(choice: Choice) -> int:
            if not choice.is_number:
                return min(range(len(choice.options)), key=lambda i: distance(choice.options[i]))
            base = getattr(self.base.layers.get(choice.layer, LayerRecipe()), NUMBERS[choice.parameter])
            return min(range(len(choice.options)), key=lambda i: abs(choice.numbers[i] - base))

        return {choice.key: nearest(choice) for choice in self.choices}

    def resolved(self, choose: IntegerChooser) -> SearchSpace:
        """A copy in which every open option got its integer bits from `choose`."""
        def close(choice: Choice) -> Choice:
            if choice.is_number:
                return choice
            texts = []
            for text in choice.options:
                spec = parse(text)
                if is_open(text):
                    spec = spec.replace(integer=choose(choice.layer, choice.parameter, spec))
                texts.append(str(spec))
            return Choice(choice.layer, choice.parameter, tuple(dict.fromkeys(texts)))

        return SearchSpace(self.base, tuple(map(close, self.choices)))


def _beside(recipe: Recipe) -> dict[str, tuple[object, ...]]:
    """What a recipe says of layers beside quantizers, where it says anything."""
    plain: tuple[object, ...] = (1.0, 0.0, {})
    found: dict[str, tuple[object, ...]] = {name: (entry.units_multiplier, entry.sparsity, entry.widths)
                                            for name, entry in recipe.layers.items()}
    return {name: values for name, values in found.items() if values != plain}


def build_space(info: ModelInfo, base: Recipe, options: Mapping[str, Sequence[str]] | None = None,
                frozen: Sequence[str] = ()) -> SearchSpace:
    """The space over a model's layers.

    Args:
        info: the model.
        base: keeps what is not chosen, and everything in frozen layers.
        options: quantizer strings by parameter type; empty or None: `default_options()`. A parameter type
            that is not named keeps the base recipe. Kernels of other kinds take the options of "kernel".
            Of the "output" options, ReLU kinds go to ReLU outputs and the others to the other outputs.
        frozen: names of layers to leave as they are.

    Raises:
        SearchError: nothing is left to choose, or a layer, type or option does not fit.
        QuantizerError: an option is not a quantizer.
    """
    chosen = {key: list(texts) for key, texts in (options or default_options()).items()}
    check_options(chosen)
    for name in frozen:
        if info.find(name) is None:
            raise SearchError(f"the frozen layer {name!r} is not in the model",
                              remedy=f"Its layers are: {', '.join(info.layer_names)}")
    for parameter in KERNEL_LIKE:
        if KERNEL in chosen:
            chosen.setdefault(parameter, chosen[KERNEL])
    pairs = [(layer, parameter) for layer in info.layers if layer.name not in frozen
             for parameter in layer.quantizable if parameter in chosen]
    choices = [Choice(layer.name, parameter, fitting(layer, parameter, chosen[parameter]))
               for layer, parameter in pairs]
    choices = [choice for choice in choices if choice.options]
    if not choices:
        raise SearchError("the search space is empty", "no layer has anything to choose",
                          "Unfreeze a layer, or give it quantizers to choose from")
    return SearchSpace(base, tuple(choices))


def check_options(options: Mapping[str, Sequence[str]]) -> None:
    """Raise SearchError or QuantizerError for options of a parameter type that is none, or that do not fit it."""
    for parameter, texts in options.items():
        if parameter not in PARAMETER_TYPES:
            raise SearchError(f"{parameter!r} is not a parameter type", remedy=f"Use: {', '.join(PARAMETER_TYPES)}")
        if not texts:
            raise SearchError(f"the search space is empty: {parameter!r} has no quantizer to choose from",
                              remedy=f"Give {parameter!r} at least one quantizer, or leave it out")
        for text in texts:
            if parse(text).kind in OUTPUT_ONLY and parameter != OUTPUT:
                raise QuantizerError(f"{text} cannot quantize a {parameter}",
                                     remedy="Use it for outputs, and a kind such as quantized_bits here")


def fitting(layer: LayerInfo, parameter: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The options that fit one parameter of one layer, without repeats; none where it is best left alone."""
    if parameter == OUTPUT:
        if not layer.is_relu and layer.class_name not in ACTIVATIONS:
            return ()  # a linear layer's sum goes to its activation as it is
        texts = [text for text in texts if (parse(text).kind in RELU_KINDS) == layer.is_relu]
    return tuple(dict.fromkeys(texts))


def switchable(options: Mapping[tuple[str, str], Iterable[str]]) -> bool:
    """False where some options of one output are its activation themselves and others come after it."""
    for (_, parameter), texts in options.items():
        standing = {REPLACES.get(parse(text).kind) for text in texts}
        if parameter in STANDING and len(standing) > 1:
            return False
    return True


def anchors(space: SearchSpace, widths: Sequence[int] = (8, 6, 4, 3)) -> list[dict[str, int]]:
    """Points to try first, which span the front where random ones would not, without repeats.

    The base recipe where it lies in the space; uniform widths; 6 bits with kernels of each kind that is no
    fixed point (power of two, ternary, binary ...); 6 bits with kernels of 5, 4 and 3 bits.
    """
    base = space.encode(space.base)
    points = [] if base is None else [base]
    points += [space.uniform(bits) for bits in widths]
    kernels = [choice for choice in space.quantized if choice.parameter in (KERNEL, *KERNEL_LIKE)]
    kinds = {parse(text).kind for choice in kernels for text in choice.options
             if "integer" not in parse(text).arguments}
    points += [{**space.uniform(6), **_of_kind(kernels, kind)} for kind in sorted(kinds, reverse=True)]
    narrow = {choice.key for choice in kernels}
    points += [{key: space.uniform(bits if key in narrow else 6)[key] for key in space.uniform(6)}
               for bits in (5, 4, 3)]
    unique = {tuple(sorted(point.items())): point for point in points}
    return list(unique.values())


def _of_kind(choices: Sequence[Choice], kind: str) -> dict[str, int]:
    """The widest option of one kind, where a choice has it."""
    found: dict[str, int] = {}
    for choice in choices:
        fitting = [i for i, text in enumerate(choice.options) if parse(text).kind == kind]
        if fitting:
            found[choice.key] = max(fitting, key=lambda i: width_of(choice.options[i]))
    return found
