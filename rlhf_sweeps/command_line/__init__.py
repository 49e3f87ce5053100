"""The command line with Hydra: answers to ${now:} and ${hydra:}, destinations, the files of a config."""
