"""What answers a request: the slow reference, which decides, and the fast engines, which must agree with it."""
