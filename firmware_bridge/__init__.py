"""Device bytes to and from the nouns of the stream."""
