// Export list of the `fold` module: every function that the host may call.
