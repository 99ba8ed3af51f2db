"""Device bytes <-> dataclasses: pure, no I/O. One module per device protocol."""
