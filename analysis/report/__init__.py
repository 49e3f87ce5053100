"""All of it in one HTML file."""
