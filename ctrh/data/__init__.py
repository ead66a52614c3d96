"""Data sets: every reader returns a :class:`ctrh.data.photos.Photos`."""
