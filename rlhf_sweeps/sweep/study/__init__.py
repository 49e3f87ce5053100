"""The Optuna study of a sweep: its storage, its owner, its trials."""
