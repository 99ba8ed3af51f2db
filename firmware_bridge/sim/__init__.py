"""A virtual patch, its radio and bleak's seam to it, on Bumble; nothing outside needs Bumble."""
