"""Files that are found, made once, and put in their place whole or not at all."""
