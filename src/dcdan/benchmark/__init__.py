"""The benchmark: sources x targets x trunks x methods x seeds, trained once each, scored alike, written up."""
