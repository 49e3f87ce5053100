"""Views: what is known of a source as sentences, tables and charts; each is a function that returns parts."""
