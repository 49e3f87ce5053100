"""The numbers that the analysis commands write of four made-up records, as they were recorded: see tests/README.md."""
