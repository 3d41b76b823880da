"""Energy, bits and EBOPs of a candidate: numpy only, fast enough for every edit and every trial.

Settings by name come from `preset`; `core.energy.published` holds the published networks.
"""

from core.energy.pricing import CostReport, Pricer, Row, price
from core.energy.settings import CORRECTED, PRESETS, QTOOLS, EnergySettings, preset

__all__ = ["CORRECTED", "PRESETS", "QTOOLS", "CostReport", "EnergySettings", "Pricer", "Row", "preset", "price"]
