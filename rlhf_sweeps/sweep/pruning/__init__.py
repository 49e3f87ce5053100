"""Which running trials end early or wait: rules over curves."""
