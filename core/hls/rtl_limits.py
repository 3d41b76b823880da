"""Where unrolling a whole network ends, and what one kernel a layer would take instead.

The RTL flow builds every product of a network. `refuse_too_large` says so before anything is written where the part
cannot hold that. A kernel a layer computes one output place a clock; its LUT are alkaid's estimate, its line buffers a
model: nothing of them is written or synthesized, and neither is their control.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from core.errors import ExportError
from core.events import Monitor
from core.hls import da_estimate
from core.hls.da_estimate import DaLayer, DaOptions
from core.hls.network import Network, Node
from core.hls.parts import Part
from core.quant.quantizers import FixedPoint

#: LUT of a product for each bit of its weight: 1.9 to 2.4 at 1 and 2 bits, 5 at 4, 8 at 6, 12 at 8, 27 at 16 were
#: measured on a network of 4256 products
LUT_PER_BIT = 1.4
#: kernels of more bits a row than this are kept in BRAM, of 36 bits x 512, others in shift registers of 32 bits a LUT
BRAM_FROM, BRAM_WIDTH, BRAM_DEPTH, SHIFT = 1024, 36, 512, 32
_WEIGHTED = ("dense", "matrix", "windows", "depthwise")
_KEPT = ("reshape", "move", "maximum_pool")


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's kernel: LUT and adder depth by alkaid, and its line buffer by a model.

    `places` are the output places of an event, one a clock, `inputs` those of its input; `rows` and `row_bits` are the
    rows of its input that are kept and the bits of each; `bram_18k`, `shift_lut` and `window_ff` what they take.
    """

    name: str
    lut: float
    depth: int
    places: int
    inputs: int
    rows: int = 0
    row_bits: int = 0
    bram_18k: int = 0
    shift_lut: int = 0
    window_ff: int = 0


class KernelEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """All kernels of a network; `interval` is the clocks from one event to the next, `notes` what is not in it."""

    kernels: tuple[Kernel, ...]
    notes: tuple[str, ...] = ()

    @property
    def lut(self) -> float:
        """LUT of the kernels by alkaid's model."""
        return sum(kernel.lut for kernel in self.kernels)

    @property
    def buffer_lut(self) -> int:
        """LUT of the line buffers by our model."""
        return sum(kernel.shift_lut for kernel in self.kernels)

    @property
    def bram_18k(self) -> int:
        """Blocks of 18 kbit of the line buffers by our model."""
        return sum(kernel.bram_18k for kernel in self.kernels)

    @property
    def interval(self) -> int:
        """Clocks between events: the places of the layer that has most, at its input or output."""
        return max((max(kernel.places, kernel.inputs) for kernel in self.kernels), default=1)


def products(network: Network) -> int:
    """Multiplications by weights that are not zero, at all places."""
    return sum(int(np.count_nonzero(node.weights["kernel"])) * _places(node) for node in _weighted(network))


def unrolled_lut(network: Network) -> float:
    """LUT of the whole network unrolled, roughly, from products and widths of weights alone."""
    return sum(int(np.count_nonzero(node.weights["kernel"])) * _places(node) * LUT_PER_BIT
               * _bits(node.weights["kernel"]) for node in _weighted(network))


def refuse_too_large(network: Network, part: Part) -> None:
    """Raise ExportError where the part cannot hold the network unrolled; nothing has been traced then."""
    lut = unrolled_lut(network)
    if lut <= part.lut:
        return
    raise ExportError(
        f"the network is too large to be unrolled for {part.name}",
        f"{products(network):,} products take about {lut:,.0f} LUT, and the part has {part.lut:,}",
        "Use the hls4ml flow with io_stream, prune or narrow the largest layer, or choose a larger part;"
        " `scripts/layer_kernels.py` prices one kernel a layer")


def kernels(network: Network, options: DaOptions | None = None, monitor: Monitor | None = None) -> KernelEstimate:
    """What one kernel a layer would take.

    Raises:
        ExportError, ToolMissingError: as `core.hls.da_estimate.estimate_layer`; Cancelled: asked to stop.
    """
    nodes = {node.name: node for node in network.nodes}
    found, notes = [], ["line buffers are counted by a model; their control and the FIFOs between layers are not"]
    for node in _weighted(network):
        if monitor is not None:
            monitor.check()
        source = _source(node, nodes)
        if source is None:
            notes.append(f"{node.name}: the type of its input is not known, so it is not counted")
            continue
        matrix = _one_place(node)
        output = node.output if isinstance(node.output, FixedPoint) else None
        if node.function is not None or output is not node.output:
            notes.append(f"{node.name}: what stands at its end is not counted")
        made = da_estimate.estimate_layer(DaLayer(
            node.name, matrix, source, node.weights.get("bias") if node.op != "matrix" else None,
            node.activation if node.activation == "relu" else "linear", output), options)
        found.append(Kernel(name=node.name, lut=made.lut, depth=made.depth, places=_places(node),
                            inputs=_inputs(node, nodes), **_buffer(node, nodes, source.bits)))
    return KernelEstimate(kernels=tuple(found), notes=tuple(notes))


def _weighted(network: Network) -> Iterator[Node]:
    return (node for node in network.nodes if node.op in _WEIGHTED)


def _places(node: Node) -> int:
    """Output places at which the kernel is built."""
    return 1 if node.op == "matrix" else math.prod(node.shape[:-1])


def _inputs(node: Node, nodes: dict[str, Node]) -> int:
    """Places of a node's input, one a clock; 1 where it comes at once."""
    return math.prod(nodes[node.inbound[0]].shape[:-1]) if node.op in ("windows", "depthwise") else 1


def _bits(kernel: np.ndarray) -> int:
    """Bits of the widest weight, sign included where there is one."""
    values = np.abs(kernel[kernel != 0])
    if not len(values):
        return 0
    step = min(float(2.0 ** -da_estimate.fraction_bits(values)), float(values.min()))
    return int(np.ceil(np.log2(values.max() / step + 1))) + int((kernel < 0).any() and len(np.unique(values)) > 1)


def _source(node: Node, nodes: dict[str, Node]) -> FixedPoint | None:
    """The type of a node's inputs, through layers that only move values."""
    before = nodes[node.inbound[0]]
    while before.op in _KEPT and before.output is None:
        before = nodes[before.inbound[0]]
    return before.output if isinstance(before.output, FixedPoint) else None


def _one_place(node: Node) -> np.ndarray:
    """(inputs, outputs) of one place."""
    kernel = node.weights["kernel"]
    if node.op == "depthwise":
        window, channels, made = kernel.shape
        matrix = np.zeros((window, channels, channels, made))
        for channel in range(channels):
            matrix[:, channel, channel] = kernel[:, channel]
        return matrix.reshape(window * channels, channels * made)
    return kernel.reshape(-1, kernel.shape[-1])


def _buffer(node: Node, nodes: dict[str, Node], bits: int) -> dict[str, int]:
    """The line buffer of a window that slides over rows of (columns, channels)."""
    shape = nodes[node.inbound[0]].shape
    if node.table is None or len(shape) != 3:
        return {}
    _, columns, channels = shape
    spans = []
    for window in node.table.reshape(-1, *node.table.shape[-2:]):
        inside = window[window > 0] - 1
        spans.append(int(inside.max() // (columns * channels) - inside.min() // (columns * channels)))
    rows, row_bits = max(spans), columns * channels * bits
    wide = channels * bits
    blocks = rows * math.ceil(wide / BRAM_WIDTH) * math.ceil(columns / BRAM_DEPTH) if row_bits >= BRAM_FROM else 0
    shifts = 0 if blocks else rows * wide * math.ceil(columns / SHIFT)
    return {"rows": rows, "row_bits": row_bits, "bram_18k": blocks, "shift_lut": shifts,
            "window_ff": node.table.shape[-2] * channels * bits}
