transmla convert sample ./sample-mla --method exact
