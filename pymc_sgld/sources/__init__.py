"""Where rows come from: arrays in shared memory, and data that do not fit into it."""
