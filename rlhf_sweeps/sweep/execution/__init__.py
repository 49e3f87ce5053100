"""Where trials run: devices, processes, executors."""
