"""Recurrent language models: networks that carry a vector from token to token."""
