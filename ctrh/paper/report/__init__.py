"""The report: one self-contained page with every table and figure, the claims, and an explorer of what queries find."""
