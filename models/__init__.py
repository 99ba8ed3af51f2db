"""The vocabulary everybody shares, the signal functions, and the networks."""
