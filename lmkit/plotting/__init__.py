"""Curves: what they are made of (`chart`), where they come from (`learning`, `variation`), how they are drawn (`figure`
in a file, `text` in a terminal)."""
