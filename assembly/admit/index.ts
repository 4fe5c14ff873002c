// Export list of the `admit` module: every function that the host may call.
