"""The user's settings: YAML files and the command line become one checked `Config`. Loads no torch."""
