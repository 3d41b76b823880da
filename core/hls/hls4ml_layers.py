"""Two steps that hls4ml 1.3.0 does not have, made with its extension interface: moving values, and any function
of one value. Their C++ is written into the project's nnet_code_gen.h; `install` makes hls4ml know them.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

import numpy as np
from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.layers import DepthwiseConv1D, DepthwiseConv2D, Layer, register_layer
from hls4ml.model.types import Source
from hls4ml.utils.qinterval import QIntervalArray, minimal_kif

from core.hls.network_functions import Function
from core.hls.rtl_functions import Form, form_of

#: backends whose C++ the steps are written for
BACKENDS = ("Vivado", "Vitis")
Kif = tuple[np.ndarray, np.ndarray, np.ndarray]


class Gather(Layer):  # type: ignore[misc]
    """Each output is a value of one of the inputs, or 0.

    `source` and `place` (output shape): which input, and which of its values; a source of -1 gives 0.
    """

    def initialize(self) -> None:
        """Its output has the shape of its table."""
        self.add_output_variable(list(self.get_attr("place").shape))


class LookUp(Layer):  # type: ignore[misc]
    """Each output is `function` (a `core.hls.network_functions.Function`) of the input in the same place."""

    def initialize(self) -> None:
        """Its output has the shape of its input."""
        self.add_output_variable(list(self.get_input_variable().shape))


# -- what values come out --------------------------------------------------------------------------------


def _gathered(layer: Gather) -> Kif:
    passes = _passes()
    found = [tuple(np.ravel(part) for part in kif) for kif in passes.get_input_kifs(layer)]
    source, place = layer.get_attr("source"), layer.get_attr("place")
    out = [np.zeros(place.shape, np.int16) for _ in range(3)]
    for number, kif in enumerate(found):
        mine = source == number
        for result, part in zip(out, kif, strict=True):
            result[mine] = part[place[mine]]
    return out[0], out[1], out[2]


def _looked_up(layer: LookUp) -> Kif:
    passes = _passes()
    signed, integer, fraction = (np.asarray(part) for part in passes.get_input_kifs(layer)[0])
    shape = tuple(layer.get_output_variable().shape)
    forms, which = _forms(layer, bool(signed.max()), int(integer.max()), int(fraction.max()))
    kinds = []
    for form in forms:
        k, i, f = minimal_kif(form.ys)
        kinds.append((int(np.max(k)), int(np.max(i)), int(np.max(f))))
    table = np.array(kinds, np.int16)[which]
    return table[..., 0].reshape(shape), table[..., 1].reshape(shape), table[..., 2].reshape(shape)


def _depthwise(layer: Any) -> Kif:
    """hls4ml's own takes the channels together; here each has its own sum."""
    passes = _passes()
    kernel = layer.attributes["weight"].data
    *sides, channels, multiplier = kernel.shape
    kif = passes.pad_arrs(layer, 0, *passes.get_input_kifs(layer)[0])
    kif = passes.im2col((*sides, channels, 1), *kif)
    kif = passes.stride_arrs(layer, *kif)
    places = kif[0].shape[:-1]
    parts = [part.reshape(*places, -1, channels) for part in kif]
    flat = kernel.reshape(-1, channels, multiplier)
    found = []
    for channel in range(channels):
        interval = QIntervalArray.from_kif(*(part[..., channel] for part in parts))
        found.append((interval @ flat[:, channel]).to_kif())
    stacked = [np.stack([one[n] for one in found], -2).reshape(*places, channels * multiplier) for n in range(3)]
    bias = layer.attributes["bias"]
    total = QIntervalArray.from_kif(*stacked) + (bias.data if bias is not None else 0)
    k, i, f = total.to_kif()
    return k.astype(np.int16), i, f


def _passes() -> Any:
    return importlib.import_module("hls4ml.model.optimizer.passes.bit_exact")


def _forms(layer: LookUp, signed: bool, integer: int, fraction: int) -> tuple[list[Form], np.ndarray]:
    """The function's forms on an input type, and for each place which of them it is."""
    function: Function = layer.get_attr("function")
    shape = tuple(layer.get_input_variable().shape)
    name = str(layer.get_attr("of"))
    low = -(2.0**integer) if signed else 0.0
    high = 2.0**integer - 2.0**-fraction
    if function.parameter is None:
        return [form_of(function.call, low, high, 2.0**-fraction, name)], np.zeros(shape, int)
    _, places, which = np.unique(np.broadcast_to(function.parameter, shape), return_index=True, return_inverse=True)
    forms = [form_of(function.at(np.unravel_index(place, shape))[0], low, high, 2.0**-fraction, name)
             for place in places]
    return forms, which.reshape(shape)


# -- C++ -------------------------------------------------------------------------------------------------

_GATHER = """
template <{types}, class res_T, typename CONFIG_T>
void {name}({arguments}, res_T res[{count}]) {{
    #pragma HLS INLINE
{lines}
}}
"""

_STREAM = """
template <class data_T, class res_T, typename CONFIG_T>
void {name}(hls::stream<data_T> &data, hls::stream<res_T> &res) {{
{which}
    for (unsigned pack = 0; pack < CONFIG_T::n_in / data_T::size; pack++) {{
        #pragma HLS PIPELINE
        data_T values = data.read();
        res_T results;
        PRAGMA_DATA_PACK(results)
        for (unsigned n = 0; n < data_T::size; n++) {{
            #pragma HLS UNROLL
            results[n] = {one};
        }}
        res.write(results);
    }}
}}
"""

_LOOKUP = """
template <class value_T> {result} {name}_one(value_T value, int which) {{
    #pragma HLS INLINE
{tables}
    ap_{u}int<{width}> code = value({top}, 0);
    ap_int<{wide}> kept = code;
    {result} found = 0;
{choices}
    return found;
}}

template <class data_T, class res_T, typename CONFIG_T>
void {name}(data_T data[{count}], res_T res[{count}]) {{
    #pragma HLS PIPELINE
{which}
    for (int place = 0; place < {count}; place++) {{
        #pragma HLS UNROLL
        res[place] = {name}_one(data[place], {own});
    }}
}}
"""

_CONFIG = """struct config{index} {{
    static const unsigned n_in = {count};
}};\n"""


def function_name(layer: Any) -> str:
    """The C++ name of a step's function."""
    return f"step{layer.index}_" + re.sub(r"\W", "_", layer.name)


def gather_code(layer: Gather) -> str:
    """C++ of a Gather."""
    source, place = layer.get_attr("source").ravel(), layer.get_attr("place").ravel()
    if layer.model.config.get_config_value("IOType") != "io_parallel":
        assert not source.any() and (place == np.arange(place.size)).all()  # others are refused before
        return _STREAM.format(name=function_name(layer), which="", one="values[n]")
    lines = [f"    res[{n}] = " + ("0;" if s < 0 else f"data{s}[{p}];")
             for n, (s, p) in enumerate(zip(source, place, strict=True))]
    sizes = [layer.get_input_variable(name).size() for name in layer.inputs]
    return _GATHER.format(name=function_name(layer), types=", ".join(f"class data{n}_T" for n in range(len(sizes))),
                          arguments=", ".join(f"data{n}_T data{n}[{size}]" for n, size in enumerate(sizes)),
                          lines="\n".join(lines), count=place.size)


def lookup_code(layer: LookUp) -> str:
    """C++ of a LookUp for the type its input has."""
    precision = layer.get_input_variable().type.precision
    width, signed = int(precision.width), bool(precision.signed)
    fraction = width - int(precision.integer)
    forms, which = _forms(layer, signed, int(precision.integer) - signed, fraction)
    result = _type_of([value for form in forms for value in form.ys])
    tables, choices = [], []
    for number, form in enumerate(forms):
        values = table_of(form, 2.0**-fraction)
        tables.append(f"    static const {result} table{number}[{len(values)}] = "
                      f"{{{', '.join(map(_literal, values))}}};")
        choices.append(_choice(form, number, 2.0**-fraction, len(forms)))
    listed = len(forms) > 1
    flat = which.ravel()
    line = f"    static const unsigned short whose[{flat.size}] = {{{', '.join(map(str, flat))}}};" if listed else ""
    name = function_name(layer)
    code = _LOOKUP.format(name=name, result=result, tables="\n".join(tables), u="" if signed else "u",
                          width=width, wide=width + 2, top=width - 1, choices="\n".join(choices), which=line,
                          count=flat.size, own="whose[place]" if listed else "0")
    if layer.model.config.get_config_value("IOType") == "io_parallel":
        return code
    own = "whose[pack * data_T::size + n]" if listed else "0"
    return code + _STREAM.format(name=name, which=line, one=f"{name}_one(values[n], {own})")


def _type_of(values: list[float]) -> str:
    """The smallest C++ type that holds all values exactly."""
    k, i, f = (int(np.max(part)) for part in minimal_kif(np.array(values)))
    return f"ap_{'' if k else 'u'}fixed<{max(k + i + f, 1)}, {k + i}>"


def _literal(value: float) -> str:
    return repr(float(value))


def _choice(form: Form, number: int, step: float, count: int) -> str:
    """The lines that look one form up: cut off to its values, drop the bits that never decide."""
    low, high = (round(float(x) / step) for x in (form.xs[0], form.xs[-1]))
    index = f"(kept >> {form.dropped}) - ({low >> form.dropped})" if form.dropped else f"kept - ({low})"
    if form.sticky:
        index = f"2 * ({index}) + ((kept & {2**form.dropped - 1}) != 0 ? 1 : 0)"
    lines = [f"if (kept < {low}) kept = {low};", f"if (kept > {high}) kept = {high};",
             f"found = table{number}[(int)({index})];"]
    head = f"    if (which == {number}) {{\n" if count > 1 else "    {\n"
    return head + "".join(f"        {line}\n" for line in lines) + "    }"


def table_of(form: Form, step: float) -> np.ndarray:
    """The table's values, in the order of `_choice`'s index."""
    if not form.dropped:
        return form.ys
    low, high = (round(float(x) / step) for x in (form.xs[0], form.xs[-1]))
    cells = np.arange(low >> form.dropped, (high >> form.dropped) + 1) << form.dropped
    codes = np.stack([cells, cells + 1], -1).ravel() if form.sticky else cells
    return np.asarray(form.ys[np.clip(codes - low, 0, len(form.ys) - 1)])


def _call(node: Any) -> str:
    sources = [node.get_input_variable(name) for name in node.inputs]
    target = node.get_output_variable()
    types = ", ".join([*(source.type.name for source in sources), target.type.name, f"config{node.index}"])
    return f"nnet::{function_name(node)}<{types}>({', '.join([*(s.name for s in sources), target.name])});"


class _Call(FunctionCallTemplate):  # type: ignore[misc]
    """The call of a step in the top function; the step itself goes to the generated code."""

    step: Any
    code: Any

    def __init__(self) -> None:
        super().__init__(self.step, include_header=["nnet_utils/nnet_code_gen.h"])

    def format(self, node: Any) -> str:
        """One line of C++."""
        node.set_attr("step_code", Source(type(self).code(node)))
        return _call(node)


class GatherCall(_Call):
    """The call of a Gather."""

    step, code = Gather, staticmethod(gather_code)


class LookUpCall(_Call):
    """The call of a LookUp."""

    step, code = LookUp, staticmethod(lookup_code)


class StepConfig(LayerConfigTemplate):  # type: ignore[misc]
    """What hls4ml keeps of every layer: a struct, here with the number of values."""

    def __init__(self) -> None:
        super().__init__((Gather, LookUp))

    def format(self, node: Any) -> str:
        """The struct."""
        return _CONFIG.format(index=node.index, count=node.get_output_variable().size())


@cache
def install() -> None:
    """Make hls4ml know the steps; once a process."""
    passes = _passes()
    register_layer("Gather", Gather)
    register_layer("LookUp", LookUp)
    passes._produce_kif.register(Gather, _gathered)
    passes._produce_kif.register(LookUp, _looked_up)
    passes._produce_kif.register(DepthwiseConv1D, _depthwise)
    passes._produce_kif.register(DepthwiseConv2D, _depthwise)
    for name in BACKENDS:
        backend = get_backend(name)
        backend.register_template(GatherCall)
        backend.register_template(LookUpCall)
        backend.register_template(StepConfig)

