"""What tests share and is no test: random problems, small models, runs of the command line."""
