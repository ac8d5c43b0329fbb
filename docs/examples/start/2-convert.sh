transmla inspect sample
transmla convert sample ./sample-mla --keep 25%
transmla compare sample ./sample-mla --max-tokens 4000
transmla generate ./sample-mla --prompt "KING RICHARD:" --max-tokens 60
