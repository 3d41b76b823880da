"""Every difference between `compat="corrected"` and `compat="qtools-0.9"`, with its reason."""

from __future__ import annotations

from typing import NamedTuple


class Correction(NamedTuple):
    """One difference. `original` is what QTools 0.9 does, `corrected` what is done instead, `reason` why."""

    key: str
    original: str
    corrected: str
    reason: str


CORRECTIONS: tuple[Correction, ...] = (
    Correction("bias", "the accumulator always grows by one term for a bias",
               "it grows by the terms that are there, and a bias that is there is added in its own width",
               "a layer without bias sums no bias; a wide bias needs a wider sum"),
    Correction("depthwise", "the input's channels count into a depthwise accumulator, and the bias is one value",
               "one window is summed, and there is a bias for each channel",
               "a depthwise convolution sums over its window only"),
    Correction("unquantized", "a parameter without quantizer in a quantized layer is int8",
               "it has the type of float parameters", "a float tensor is not stored in 8 bits"),
    Correction("kinds", "tanh has -1 integer bits; sigmoid, hswish and linear have no type and stop the program",
               "tanh has 0 integer bits; sigmoid is unsigned with 0, hswish and linear as their arguments say",
               "that is the range of their values"),
    Correction("relabelled", "stochastic_binary, bernoulli, tanh and ulaw turn into stochastic_ternary when passed on",
               "a format that is passed on stays what it is", "reshaping does not change values"),
    Correction("separable", "only the depthwise half is seen, its operations are free, pointwise is taken for the bias",
               "both halves, and the bias, are counted", "both are computed"),
    Correction("recurrent", "recurrent layers cost nothing",
               "kernel and state products of each step, gate products and parameters are counted",
               "they are computed and read"),
    Correction("other products", "transposed, 1-D depthwise, 3-D and einsum layers cost nothing",
               "their products are counted", "they are computed"),
    Correction("positions", "a Dense over several positions stops the program", "it is counted at each position",
               "the same kernel is applied at each"),
    Correction("folded", "a convolution with folded batch normalization costs nothing",
               "it costs what the convolution with a bias costs", "that is what is left after folding"),
    Correction("pooling", "average pooling adds one window a channel; quantized, 1-D and max pooling are free",
               "every window is added, a quantized one also multiplied by its scale, a maximum compared",
               "each output value has its own window"),
    Correction("merges", "Subtract and Dot stop the program; Maximum, Minimum and Average are free",
               "Subtract is a signed Add; comparisons, averages and the products of a Dot are counted",
               "they are computed"),
    Correction("merge order", "the order of a merge's inputs is random, and a repeated input counts once",
               "inputs come in the layer's own order, each as often as it is there",
               "a price must be the same every time"),
    Correction("normalization", "four parameters are read whatever is switched off, the addition of beta is free",
               "parameters that are there are read and beta's addition is counted", "they are read, it is computed"),
    Correction("relu", "an unquantized relu has the type of float results; ReLU, LeakyReLU and Softmax layers are "
               "unknown and billed for their reading",
               "an unquantized relu keeps its input's format; all are activations, billed for their writing",
               "cutting at zero needs no other format"),
    Correction("wiring", "Flatten, Reshape and Concatenate read their inputs from memory",
               "they move nothing", "they only rename values; who uses them reads them"),
    Correction("model ends", "a layer fed by one model input reads all its inputs from there; an output that is also "
               "used inside is none",
               "each tensor is taken for itself, outputs are the model's", "that is where the data come from and go"),
    Correction("absent layers", "only Dropout is taken out",
               "all layers that do nothing at inference are", "they do not exist in hardware"),
    Correction("stress", "the stress of an energy factor has no effect", "it lowers the reference",
               "that is what it is documented to do"),
    Correction("rounding", "parts are rounded to two decimals before they are summed", "nothing is rounded",
               "small layers would vanish"),
    Correction("bits", "only dense, convolution, depthwise and normalization layers have parameter bits, and a "
               "quantized normalization 6 and 5 a channel",
               "all weights count, with their own quantizers", "they are stored"),
)
