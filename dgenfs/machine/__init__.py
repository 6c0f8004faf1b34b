"""The machine: NUMA nodes, threads, system calls."""
