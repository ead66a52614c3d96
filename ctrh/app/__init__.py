"""What a person runs: the command line, searching by pictures and words, encoders for other programs."""
