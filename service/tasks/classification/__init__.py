"""Classification: the probability of each label of a sequence."""
