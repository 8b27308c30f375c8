"""CJ/T 188-2004 and -2018 water, heat and gas meters, read only, on a line."""
