"""The guide: a CLIP model that mends the tags (Eq. 2-8)."""
