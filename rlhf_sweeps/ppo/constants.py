"""All hand-set constants of this room, with their units and their origin.

"Chosen" means that nobody measured alternatives. The speed of the engine as a whole is measured by
tests/benchmarks/against_trl.py.
"""

# Checks that a policy is read right (agreement.py, packing.py).
MOST_STEPS = 5  # tokens sampled for each response of the check; chosen
MOST_TOKENS = 16  # tokens read for each response of the check; chosen
LONGEST_TRIAL = 256  # tokens of the longest sequence of the check; chosen
# The allowed difference of two ways to one result, as a share of the largest value (at least of 1). Rounding in float32
# was up to 4e-6 for the states and 2e-6 for the log-probabilities of SmolLM2 (30 layers), and 2e-6 for the scores of
# small classifiers of a dozen architectures; the script was not kept. The tolerance for bfloat16 and float16 is chosen.
TOLERANCE = 2e-5  # of float32 and float64
LOW_TOLERANCE = 5e-2  # of bfloat16 and float16

# Reading and optimization (language_model.py, optimization.py).
CHUNK_BYTES = 2**26  # bytes of logits in memory at once; chosen
# Tokens of a microbatch on a CPU: more of them are not faster, and their activations take about 100 MB for each hundred
# tokens of a model with 135M parameters. Measured once; the script was not kept.
CPU_TOKENS = 1024

# Training (trainer.py).
LATER_PATIENCE = 60.0  # seconds until a user hears of the inside of an update after the first one; chosen

# Sampling (sampling.py).
ENDED_SHARE = 0.25  # of a batch's rows; the batch shrinks once so many have ended, which copies the cache; chosen
STATIC_WIDTH = 64  # tokens; prompts of a static batch are padded to a multiple, so that few shapes are compiled; chosen
BLOCK = 128  # tokens of the vocabulary whose probabilities are summed up before one is drawn; chosen
CANDIDATES = 256  # most probable tokens among which a nucleus is searched first; chosen

# Stop strings (stop_strings.py).
REACH = 16  # characters of earlier text that a new token may change; tokenizers' clean-up changes fewer; chosen

# Memory (memory.py): sizes from which glibc takes a block directly from the system, and returns it when it is freed.
KEEPING_THRESHOLD = 2**30  # bytes, while freed memory is kept for the next tensor; chosen
RETURNING_THRESHOLD = 2**20  # bytes, while freed memory is returned; chosen
