cat > chats.jsonl <<'LINES'
{"messages": [{"role": "user", "content": "Who is there?"}, {"role": "assistant", "content": "Nay, answer me."}]}
{"prompt": "ROMEO:\n", "completion": "But soft, what light?"}
LINES
# #region train
transmla train ./sample-mla ./trained \
  --data chats.jsonl --train adapters --steps 12 --batch 128
# #endregion train
