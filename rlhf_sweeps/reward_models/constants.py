"""All hand-set constants of this room. All of them are chosen; nobody measured alternatives."""

LONGEST_TEXT = 200  # characters of a prompt or a response in an error message
MOST_REMEMBERED = 100_000  # scores that a scorer remembers; the oldest are forgotten first
MOST_PROMPTS = 20_000  # prompts whose embeddings an encoder remembers; the oldest are forgotten first
NUM_PROMPTS = 256  # prompts that the base policy answers for the scale of a reward model's scores
# The L2 penalties of an encoder's head among which cross-validation chooses, and its number of folds.
STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
NUM_FOLDS = 5
