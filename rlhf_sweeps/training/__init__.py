"""One run: load, begin or continue, train, evaluate, checkpoint, export."""
