"""Pure signal functions and push/flush objects, used by training, edge and cloud alike."""
