"""Every plan that is best somewhere in a box of link states: made, kept, looked up."""
