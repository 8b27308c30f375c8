"""DL/T 645-2007 electricity meters, read only, on a line."""
