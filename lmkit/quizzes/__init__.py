"""Which passage is real? Passages of a text, those that models write beside them, and what was copied."""
