"""Photos found by text and texts by photo: what to run, the runs, their tables and pictures."""
