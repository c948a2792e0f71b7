"""RADAR in notebooks: single-step, reconstruction-free anomaly detection with a diffusion model.

Teaching and reproduction kit for arXiv 2508.04818 (Moradi, Grasso, Colosimo, Paynabar). The notebooks are the
way in; this package holds what they share.
"""

__version__ = "0.1.0"
