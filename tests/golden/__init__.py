"""What the analysis writes and says of four made-up records, as it was recorded: see tests/README.md."""
