"""What Hydra makes of a command line: answers to ${now:} and ${hydra:}, destinations, the files of a config."""
