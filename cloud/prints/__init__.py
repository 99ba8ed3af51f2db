"""Strips, reports and exports: what of the store goes onto paper or into files."""
