"""What a user may say: YAML and command line become one checked `Config`. Loads no torch."""
