"""The exercises, a file a family; every function with ``@exercise`` in these files is one."""
