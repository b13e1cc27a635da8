"""Model graphs for other machines: fp32 and int8, with the accuracy and speed of both."""
