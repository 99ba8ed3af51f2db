"""The parts that questions are made of, as tables, and how they are put together."""
