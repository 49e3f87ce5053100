"""Terminal, figures and files: how all commands show what they have found."""
