"""How good a verdict is: beat matching, calibration, blind baselines."""
