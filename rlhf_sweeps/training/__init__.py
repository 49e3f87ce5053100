"""One run: load models and data, begin or continue, train, evaluate, save checkpoints, export."""
