node generate.mjs
