node convert.mjs
