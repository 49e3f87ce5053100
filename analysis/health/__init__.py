"""What goes wrong in runs."""
