"""What a price depends on beside the recipe: memories, process, and how faithful to QTools 0.9 it is."""

from __future__ import annotations

import msgspec

from core.energy.types import SHORT
from core.errors import CostError

QTOOLS = "qtools-0.9"
CORRECTED = "corrected"
MEMORIES = ("sram", "dram", "fixed")
#: 8 * 16 * 1024 * 1024 bits: the memory behind the published rows
PUBLISHED_SRAM_BITS = 2**27


class EnergySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the energy model; every default is that of the published rows, but for `compat`.

    `compat` is "qtools-0.9" (the original, defects included) or "corrected" (`core.energy.corrections`);
    `weights_memory` and `activations_memory` are "sram", "dram" or "fixed" (free); `minimum_sram_bits` is the
    least size of the SRAM; `io_transfer` moves model inputs and outputs over DRAM; `float_type` and
    `float_accumulator` are the formats ("int8", "int16", "int32", "fp16", "fp32") of everything that has no
    quantizer, None meaning QTools' own int8. `reference` prices the network as if it had no quantizers at
    all; `source` then replaces the input's quantizer by a short name. `inference` takes the number of
    different power-of-two weights into account. The three `*_bits` at the end count bits as AutoQKeras does:
    a tensor without quantizer, a model input, a softmax output.
    """

    compat: str = CORRECTED
    process: str = "horowitz45"
    weights_memory: str = "sram"
    activations_memory: str = "sram"
    minimum_sram_bits: int = PUBLISHED_SRAM_BITS
    io_transfer: bool = False
    float_type: str | None = "fp32"
    float_accumulator: str | None = "fp32"
    reference: bool = False
    source: str | None = None
    inference: bool = False
    unquantized_bits: int = 8
    input_bits: int = 8
    output_bits: int = 8

    def __post_init__(self) -> None:
        _known("compat", self.compat, (QTOOLS, CORRECTED))
        _known("weights_memory", self.weights_memory, MEMORIES)
        _known("activations_memory", self.activations_memory, MEMORIES)
        for name in ("float_type", "float_accumulator", "source"):
            _known(name, getattr(self, name), (None, *SHORT))
        if self.minimum_sram_bits < 0:
            raise CostError("minimum_sram_bits cannot be negative", remedy="Give 0 or more bits")

    @property
    def corrected(self) -> bool:
        """True unless the original's behaviour is asked for."""
        return self.compat == CORRECTED


def _known(name: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(str(choice) for choice in allowed)
        raise CostError(f"{name} cannot be {value!r}", remedy=f"Use one of: {choices}")


def published(compat: str = QTOOLS) -> EnergySettings:
    """The settings behind the published rows (BF 7004, Q6 2633, QE 948 pJ): the default of `price`."""
    return EnergySettings(compat=compat)


def corrected() -> EnergySettings:
    """The published memories and types without the original's defects."""
    return EnergySettings(compat=CORRECTED)


def notebook() -> EnergySettings:
    """The authors' later notebook: weights and activations in registers, fp16 float types, inference mode."""
    return EnergySettings(compat=QTOOLS, weights_memory="fixed", activations_memory="fixed", float_type="fp16",
                          float_accumulator="fp16", inference=True)


#: presets by name, for menus and the command line
PRESETS = {"published": published, "corrected": corrected, "notebook": notebook}


def preset(name: str, compat: str | None = None) -> EnergySettings:
    """The preset of that name, in the given compat mode when there is one; raises CostError."""
    if name not in PRESETS:
        raise CostError(f"there is no energy preset {name!r}", remedy=f"Use one of: {', '.join(PRESETS)}")
    settings = PRESETS[name]()
    return msgspec.structs.replace(settings, compat=compat) if compat else settings
