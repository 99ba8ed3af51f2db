"""Readers of the annotated recordings the networks are trained and judged on."""
