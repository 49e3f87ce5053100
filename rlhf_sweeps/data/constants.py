"""All hand-set constants of this room. All of them are chosen; nobody measured alternatives."""

TOKENIZER_BATCH = 1000  # prompts in one call of the tokenizer
READER_BATCH = 1000  # rows of a table that are read at once
MOST_EXAMPLES = 5_000_000  # examples of a mixture: a list in memory, which a small source with a huge weight would fill
LONGEST_CELL = 2**30  # characters of a cell of a CSV file; the csv module's own limit is 2**17
# Prompts with a SHA-256 digest below it are held out, if a data set has no split of its own.
END_OF_TENTH = f"{2**256 // 10:064x}"
LONGEST_QUOTE = 40  # characters of a message, or of a column's name, in an error
