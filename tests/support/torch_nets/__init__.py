"""Modules and programs of torch that tests share."""
