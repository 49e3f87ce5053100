"""Training a reward model on preference pairs, and the report on how far it can be trusted."""
