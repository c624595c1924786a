"""The ways to change an object by saying what is different: JSON patch, merge patch, strategic merge, apply."""
