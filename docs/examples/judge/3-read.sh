transmla generate sample --prompt "KING RICHARD:" --max-tokens 40
transmla generate ./sample-mla --prompt "KING RICHARD:" --max-tokens 40
