// Export list of the `decode` module: every function that the host may call.
