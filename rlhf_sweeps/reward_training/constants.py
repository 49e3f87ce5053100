"""All hand-set constants of this room. All of them are chosen; nobody measured alternatives."""

MIN_HELD_OUT = 20  # held-out pairs; with fewer, the report's figures would be mostly noise
NUM_LOG_LINES = 10  # lines of progress in a training
SECONDS_BETWEEN_LOG_LINES = 10.0  # the longest time between two of them, where steps are shorter
SECONDS_WITHIN_STEP = 30.0  # the time between two lines on the progress within a step after the first
CAUTIOUS_LR = 1e-5  # learning rate for a base model that no choice of `model` describes
LORA_FACTOR = 10  # the learning rate of LoRA adapters in relation to that of all weights
NUM_BINS = 10  # bins of confidence, from 0.5 to 1, in the report's calibration
SIGNIFICANCE = 0.05  # level of McNemar's test; at a larger p-value a rule counts as not beaten
