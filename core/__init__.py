"""Quantiscope's engine: everything but the window. Nothing in here imports Qt."""

__version__ = "0.1.0"
