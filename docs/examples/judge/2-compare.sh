transmla compare sample ./sample-mla --max-tokens 4000
