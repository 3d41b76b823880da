"""Energy, bits and EBOPs of a candidate: numpy only, fast enough for every edit and every trial."""

from core.energy.pricing import CostReport, Pricer, Row, price
from core.energy.settings import CORRECTED, PRESETS, QTOOLS, EnergySettings, corrected, preset, published

__all__ = ["CORRECTED", "PRESETS", "QTOOLS", "CostReport", "EnergySettings", "Pricer", "Row", "corrected", "preset",
           "price", "published"]
