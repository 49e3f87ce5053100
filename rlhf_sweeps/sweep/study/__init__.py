"""The Optuna study of a sweep: where it is kept, whose it is, which trials it holds."""
