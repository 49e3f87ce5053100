"""Find files, make them once, and put them in their place whole or not at all."""
