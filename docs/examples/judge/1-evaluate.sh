transmla evaluate sample --max-tokens 4000
transmla evaluate ./sample-mla --text sample --max-tokens 4000
