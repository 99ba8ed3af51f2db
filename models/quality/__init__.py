"""How the gate of `models.signals.quality` is made: noise, rows of indices, the fit."""
