"""Retrieval by Hamming distance: codes and relevance in, numbers out. Knows nothing of tags or networks."""
