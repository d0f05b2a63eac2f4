"""Data from outside: files of any column names, checked row by row and taken in block by block."""
