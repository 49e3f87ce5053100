"""Training of a reward model on preference pairs, and a report on its accuracy and calibration."""
