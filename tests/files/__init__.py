"""Documents as they are read, complained of and written, whatever they say."""
