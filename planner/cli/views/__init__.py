"""What commands show: tables, bars and maps of text."""
