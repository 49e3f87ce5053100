"""What is known of a source: what is ranked, and all that is computed from it, each thing once."""
