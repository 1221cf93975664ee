"""Reader of pickles that imports nothing and calls nothing: classes and calls become inert records of their names."""
