"""The box beside the bed: takes the stream in, screens it, and sends on what matters."""
