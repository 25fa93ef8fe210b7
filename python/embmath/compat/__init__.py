"""The functions of other libraries, with their arguments, defaults, return types and edge cases."""
