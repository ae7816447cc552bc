"""Tables of every plan that is best in a box."""
