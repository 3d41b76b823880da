"""Quantiscope's desktop application and command line. Nothing in here imports TensorFlow."""
