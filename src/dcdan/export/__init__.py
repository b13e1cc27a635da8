"""Graphs of a run for other machines: fp32 and int8, with what int8 costs and gains."""
