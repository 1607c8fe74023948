"""Models made of models: what they add to one is told in each file."""
