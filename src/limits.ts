// Every bound of Millrace with the arithmetic that gave it, and what happens when it is reached.
