// Export list of the `export` module: every function that the host may call.
