"""What all torch programs become: calls, steps by value, and a draft of them."""
