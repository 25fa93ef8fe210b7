"""Other libraries' functions under their own names: the same arguments and results, faster.

Each module stands for one library and is imported on its own; none needs the library it stands for.
"""
