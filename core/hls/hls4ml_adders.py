"""hls4ml's strategy "distributed_arithmetic" without da4ml: alkaid, its successor, writes the adder trees as C++."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from core.errors import ToolMissingError
from core.hls.rtl_options import DEPTH_LIMIT


def adder_tree(kif: tuple[np.ndarray, np.ndarray, np.ndarray], kernel: np.ndarray, bias: np.ndarray | None,
               name: str) -> str:
    """C++ (for Vitis and Vivado HLS) of inputs times kernel (inputs, outputs) plus bias, in adders only.

    Args:
        kif: sign, integer bits without it, and fraction bits of each input.
        name: of the function.
    """
    try:
        from alkaid import trace
        from alkaid.codegen.hls import hls_logic_and_bridge_gen
    except ImportError:
        raise ToolMissingError("alkaid is not installed", "it writes the adder trees of distributed arithmetic",
                               "Install it with: python -m pip install alkaid==0.8.2 (Linux x86-64 and macOS on Arm),"
                               " or choose the strategy Latency") from None
    # alkaid wants the integer bits without the sign, as hls4ml gives them
    inputs = trace.FVArray.from_kif(*kif, hwconf=trace.HWConfig(1, -1, -1), solver_options={"hard_dc": DEPTH_LIMIT})
    outputs = inputs @ kernel
    if bias is not None:
        outputs = outputs + bias
    code, _ = hls_logic_and_bridge_gen(trace.trace(inputs, outputs), name, "vitis", pragmas=["#pragma HLS INLINE"],
                                       print_latency=True)
    return str(code)


@contextlib.contextmanager
def by_alkaid() -> Iterator[None]:
    """hls4ml's own code generation for the strategy asks alkaid for as long as this lasts."""
    passes: Any = importlib.import_module("hls4ml.backends.vivado.passes.distributed_arithmetic")
    from hls4ml.model.types import Source

    def transform(self: Any, model: Any, node: Any) -> None:
        kernel = np.asarray(node.attributes["weight"].data, np.float64)
        bias = node.attributes["bias"]
        name = f"dense_da_{node.index}"
        code = adder_tree(passes.get_kernel_inp_kif(node), kernel.reshape(-1, kernel.shape[-1]),
                          None if bias is None else np.asarray(bias.data, np.float64).ravel(), name)
        if model.config.get_config_value("IOType") != "io_parallel":
            code += "\n\n" + passes.add_kernel_wrapper(node.index, *kernel.reshape(-1, kernel.shape[-1]).shape)
        node.set_attr("da_codegen", Source(code))

    kept = passes.DistributedArithmeticCodegen.transform
    passes.DistributedArithmeticCodegen.transform = transform
    try:
        yield
    finally:
        passes.DistributedArithmeticCodegen.transform = kept
