"""anyECG: the encoder of any leads and any length, the dense localizer on it, and the beat classifier."""
