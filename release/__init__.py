"""What a release is made of, and the checks that it has to pass."""
