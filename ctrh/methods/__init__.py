"""Methods: photos and tags in, binary codes out."""
