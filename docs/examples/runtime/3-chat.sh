printf 'Who is there?\nAnd who are you?\n' | node chat.mjs
