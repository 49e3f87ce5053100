"""What a sweep has found out."""
