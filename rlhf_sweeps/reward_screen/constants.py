"""All hand-set constants of this room. All of them are chosen; nobody measured alternatives."""

ANSWERS_PER_PART = 256  # answers that are sampled, scored and recorded in one go; at most so many are lost when killed
SCHEMA_VERSION_OF_SCREEN = 1  # of screen.json; raised when an older reader would misunderstand the file
LONGEST_COLUMN = 24  # characters of a reward model's name in the tables
