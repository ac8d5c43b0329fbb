# #region serve
transmla serve ./sample-mla --port 8097 &
# #endregion serve
trap 'kill $! && wait $!' EXIT
until curl --silent --fail http://127.0.0.1:8097/health; do sleep 0.2; done
# #region ask
curl --silent http://127.0.0.1:8097/v1/chat/completions \
  --header "content-type: application/json" \
  --data '{
    "model": "sample-mla",
    "messages": [{ "role": "user", "content": "Who is there?" }],
    "max_tokens": 20
  }'
# #endregion ask
# #region metrics
curl --silent http://127.0.0.1:8097/metrics | grep cache
# #endregion metrics
