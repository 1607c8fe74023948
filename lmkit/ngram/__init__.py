"""n-gram models: counting, smoothing, and the trie that answers."""
