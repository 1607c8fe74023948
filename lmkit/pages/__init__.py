"""Pages and pictures that show a text as models see it."""
