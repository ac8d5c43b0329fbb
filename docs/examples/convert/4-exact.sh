transmla convert sample ./exact --method exact
transmla compare sample ./exact --max-tokens 1000
