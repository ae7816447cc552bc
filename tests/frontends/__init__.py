"""What holds for all frontends, and one room for each."""
