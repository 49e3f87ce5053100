"""`python -m rlhf_sweeps`: one run, or a sweep with -m."""

from rlhf_sweeps.cli import main

if __name__ == "__main__":
    main()
