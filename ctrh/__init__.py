"""Weakly supervised image hashing via CLIP-guided tag refinement: a reproducible companion to the CTRH paper."""

__version__ = "0.1.0"
